import {join} from 'node:path'
import {makePrivateDirectory, workerDirectory} from '../config/state-directory.ts'
import {createRedactor} from '../core/redact.ts'
import {openJournal} from '../journal/open-journal.ts'
import {Codebases} from './registration/codebases.ts'
import {Delivery} from './run/delivery.ts'
import {lookUp, onCancel} from './run/held-task.ts'
import {Intake} from './intake/intake.ts'
import {Lanes} from './locks/lanes.ts'
import {guardLeases} from './lease-guard.ts'
import {Lifecycle} from './lifecycle.ts'
import {takeNameLock} from './locks/lock-file.ts'
import {QueueWatch} from './queue-watch.ts'
import {recover} from './recovery/recovery.ts'
import {registrar} from './registration/registrar.ts'
import {Registration} from './registration/registration.ts'
import {registrationRoots} from './registration/registration-roots.ts'
import {taskRun} from './run/run-task.ts'
import {goodbye, serve} from './serve.ts'
import {stateDisk} from './disk/state-disk.ts'
import {takeUp} from './take-up.ts'
import {TaskRunner, type Pause} from './run/task-runner.ts'
import type {RunningWorker, WorkerOptions} from './worker-options.ts'
import {sessionSync} from './worker-sessions.ts'

const nothingServed =
  'No codebase is served, so no task will come: add one with `a2a-worker register PATH`, or start with --codebase PATH'
/**
 * A worker's whole life, top to bottom: it registers, finishes what an earlier process left, takes tasks until it is
 * told to stop, lets them end, ends them or leaves them to go on, reports, and leaves. Throws ExpectedError: another
 * process has this name (75), the state cannot be written (73), the server refuses the token (77).
 */
export async function runWorker(
  options: WorkerOptions,
  onRunning: (worker: RunningWorker) => void = () => {},
): Promise<void> {
  const {config, name, workerId, stateDir, client, bus, clock, signals} = options
  const {emit} = bus
  const workerDir = makePrivateDirectory(workerDirectory(stateDir, name))
  const {disk, kept, folders} = stateDisk({
    config,
    workerDir,
    clock,
    emit,
    inHand: () => new Set(runner.active.map(({id}) => id)),
    onLow: (isLow) => pause(isLow, 'disk'),
    catchUp: () => journal.catchUp(),
  })
  const makeRoom = () => disk.makeRoom()
  using _lock = takeNameLock(workerDir, name, makeRoom)
  const complain = (text: string) => emit({type: 'notice', level: 'error', text})
  using journal = await openJournal(join(workerDir, 'journal.db'), {now: clock.now(), makeRoom, onBroken: complain})
  const lifecycle = new Lifecycle(emit)
  const giveUp = new AbortController()
  const secrets = () => [...options.secrets(), ...(config.auth_token ? [config.auth_token] : [])]
  let redact = redactor(secrets(), config.redact)
  const codebases = new Codebases({
    configured: config.codebases,
    global: options.globalPath,
    roots: () => registrationRoots(config.registration_roots, config.codebases),
    workerDir,
  })
  const about = {client, clock, emit, workerId, codebases}
  const registration = new Registration({
    ...about,
    name,
    version: options.version,
    capabilities: config.capabilities,
    get slots() {
      return config.max_concurrent_tasks
    },
    stateDir,
    state: () => ({running: runner.held, free: runner.free}),
    onCodebases: () => void intake.announce(),
  })
  const delivery = new Delivery({
    ...about,
    registration,
    journal,
    redact: () => redact,
    signal: giveUp.signal,
  })
  const parts = {
    ...about,
    registration,
    journal,
    delivery,
    config,
    signal: giveUp.signal,
    executor: options.executor,
    folders,
    disk,
  }
  const lanes = new Lanes(stateDir)
  const stream = {isOpen: () => intake.link === 'stream', reopen: (reason: string) => intake.reconnect(reason)}
  const runner: TaskRunner = new TaskRunner({
    ...parts,
    lanes,
    run: taskRun({
      ...parts,
      stream,
      registrar: registrar(parts),
      findSession: options.storage && ((id) => (sessions ? sessions.find(id) : Promise.resolve(undefined))),
      inHand: () => runner.active,
    }),
    // A server with leases offers what waits by itself when a slot becomes free.
    onFree: () => registration.has('lease') || intake.pollSoon(),
  })
  const intake = new Intake({
    ...about,
    registration,
    name,
    capabilities: config.capabilities,
    pollMs: () => config.poll_interval * 1000,
    silenceMs: config.sse_heartbeat_timeout * 1000,
    brokerUrl: config.redis_url,
    onTask: (task, source, seenAt) => runner.offer(task, source, seenAt),
    onCancel: (taskId, attempt, reason) => onCancel(taskId, attempt, reason, options, runner),
    onCancelHint: (taskId) => void lookUp(taskId, options, runner, giveUp.signal),
  })
  await using sessions = sessionSync(options, {workerDir, secrets: secrets(), registration, codebases, runner})
  const queue = new QueueWatch(about)
  const pause = (isPaused: boolean, why: Pause) => {
    runner.setPaused(isPaused, why)
    void registration.sayNow(giveUp.signal)
  }

  try {
    lifecycle.to('starting')
    const running = {name, workerId, lifecycle, intake, registration, codebases, runner, sessions, queue, disk, kept}
    const renewRedaction = () => {
      redact = redactor(secrets(), config.redact)
      sessions?.redactWith({secrets: secrets(), patterns: config.redact})
    }
    onRunning({
      ...running,
      setPaused: (isPaused) => pause(isPaused, 'operator'),
      takeUp: (reloaded) => takeUp(reloaded, {...running, config, signal: giveUp.signal, renewRedaction}),
    })
    await disk.look().catch(() => {}) // a worker that has no room says so from the first moment on
    recover({...parts, lanes, runner})
    void guardLeases({runner, registration, config, clock}, giveUp.signal)
    await registration.registerUntilDone(signals.drain)
    let closed: Promise<unknown> | undefined
    if (!signals.drain.aborted || runner.active.length > 0) {
      if (registration.isKnown && codebases.ids.length === 0) emit({type: 'notice', level: 'warn', text: nothingServed})
      lifecycle.to('running')
      closed = (await serve(options, running)).closed
    }

    lifecycle.to('stopping')
    await Promise.all([goodbye(options, runner, giveUp), closed])
    lifecycle.to('stopped')
  } catch (error) {
    giveUp.abort()
    lifecycle.to('failed')
    throw error
  }
}

/** Undefined where there is nothing to look for: output is then sent as the bytes it is. */
const redactor = (secrets: readonly string[], patterns: readonly string[]) =>
  secrets.length + patterns.length === 0
    ? undefined
    : createRedactor(
        secrets,
        patterns.map((pattern) => new RegExp(pattern, 'u')),
      )
