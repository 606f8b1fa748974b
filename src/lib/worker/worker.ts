import {join} from 'node:path'
import type {ControlPlaneClient} from '../client/control-plane.ts'
import {isAbsent} from '../client/http.ts'
import type {Config} from '../config/settings.ts'
import {makePrivate, workerDirectory} from '../config/state-directory.ts'
import type {Clock} from '../core/clock.ts'
import {ExpectedError} from '../core/errors.ts'
import {createRedactor} from '../core/redact.ts'
import type {StopSignals} from '../core/signals.ts'
import type {EventBus} from '../events/bus.ts'
import type {Executor} from '../executor/executor.ts'
import type {ModelSource} from '../opencode/models.ts'
import {Journal} from '../journal/journal.ts'
import type {SessionSync} from '../sessions/session-sync.ts'
import {Codebases} from './codebases.ts'
import {Delivery} from './delivery.ts'
import {reasonToStop} from './held-task.ts'
import {Intake} from './intake.ts'
import {Lanes} from './lanes.ts'
import {Lifecycle} from './lifecycle.ts'
import {isLock, takeLock} from './lock-file.ts'
import {QueueWatch} from './queue-watch.ts'
import {recover} from './recovery.ts'
import {registrar} from './registrar.ts'
import {Registration} from './registration.ts'
import {registrationRoots} from './registration-roots.ts'
import {RunFolders} from './run-directory.ts'
import {taskRun} from './run-task.ts'
import type {ActiveTask} from './see-run.ts'
import {TaskRunner} from './task-runner.ts'
import {sessionSync, type AgentStorage} from './worker-sessions.ts'

export type WorkerOptions = {
  config: Config
  name: string
  workerId: string
  version: string
  stateDir: string
  /** Where tasks run that belong to no codebase; undefined: they are not taken. */
  globalPath: string | undefined
  client: ControlPlaneClient
  executor: Executor
  /** Undefined: no models are announced. */
  models: ModelSource | undefined
  /** Where the agent keeps its sessions; undefined: they are not synced. */
  storage?: AgentStorage | undefined
  /** Blanked out of output and sessions, beside what `redact` names. */
  secrets: readonly string[]
  bus: EventBus
  clock: Clock
  signals: StopSignals
  /** Leaves after one task. */
  once: boolean
  /** Leaves after so long without a task, ms; 0 never. */
  exitAfterIdleMs: number
}

/** A worker that runs, as the local socket shows it. */
export type RunningWorker = {
  codebases: Codebases
  name: string
  workerId: string
  lifecycle: Lifecycle
  intake: Intake
  registration: Registration
  runner: TaskRunner
  sessions: SessionSync | undefined
  queue: QueueWatch
  /** Takes no tasks for a while; the server hears of it at once. */
  setPaused: (isPaused: boolean) => void
}

/** How long reports may take once everything has ended and somebody waits for us to leave. */
const goodbyeMs = 20_000
const rereadMs = 10_000
/** When the agent's models are asked for, and how often it is looked whether they may have changed. */
const firstModelsMs = 3000
const modelsMs = 60_000
const nothingServed =
  'No codebase is served, so no task will come: add one with `a2a-worker register PATH`, or start with --codebase PATH'
/** How often a task that is just being started is looked at again when the worker is to leave at once. */
const mostLooks = 20

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
  const workerDir = makePrivate(workerDirectory(stateDir, name))
  using _lock = takeNameLock(workerDir, name)
  using journal = await Journal.open(join(workerDir, 'journal.db'))
  const lifecycle = new Lifecycle(emit)
  const giveUp = new AbortController()
  const secrets = [...options.secrets, ...(config.auth_token ? [config.auth_token] : [])]
  const codebases = new Codebases({
    configured: config.codebases,
    global: options.globalPath,
    roots: registrationRoots(config.registration_roots, config.codebases),
    workerDir,
  })
  const about = {client, clock, emit, workerId, codebases}
  const registration = new Registration({
    ...about,
    name,
    version: options.version,
    capabilities: config.capabilities,
    slots: config.max_concurrent_tasks,
    stateDir,
    state: () => ({running: runner.held, free: runner.free}),
    onCodebases: () => void intake.announce(),
  })
  const delivery = new Delivery({
    ...about,
    registration,
    journal,
    redact: redactor(secrets, config.redact),
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
  }
  const folders = new RunFolders(workerDir, clock, () => new Set(runner.active.map(({id}) => id)))
  const lanes = new Lanes(stateDir)
  const stream = {isOpen: () => intake.link === 'stream', reopen: (reason: string) => intake.reconnect(reason)}
  const runner: TaskRunner = new TaskRunner({
    ...parts,
    lanes,
    run: taskRun({
      ...parts,
      folders,
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
    pollMs: config.poll_interval * 1000,
    silenceMs: config.sse_heartbeat_timeout * 1000,
    brokerUrl: config.redis_url,
    onTask: (task, source, seenAt) => runner.offer(task, source, seenAt),
    onCancel: (taskId, attempt, reason) => onCancel(taskId, attempt, reason, options, runner),
    onCancelHint: (taskId) => void lookUp(taskId, options, runner, giveUp.signal),
  })
  await using sessions = sessionSync(options, {workerDir, secrets, registration, codebases, runner})
  const queue = new QueueWatch(about)
  const setPaused = (isPaused: boolean) => {
    runner.setPaused(isPaused)
    void registration.sayNow(giveUp.signal)
  }

  try {
    lifecycle.to('starting')
    onRunning({name, workerId, lifecycle, intake, registration, codebases, runner, sessions, queue, setPaused})
    await registration.registerUntilDone(signals.drain)
    if (!signals.drain.aborted) {
      if (codebases.ids.length === 0) emit({type: 'notice', level: 'warn', text: nothingServed})
      recover({...parts, folders, lanes, runner})
      lifecycle.to('running')
      await serve(options, {registration, intake, runner, lifecycle, sessions, queue})
    }

    lifecycle.to('stopping')
    await goodbye(options, runner, giveUp)
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

type Parts = Pick<RunningWorker, 'registration' | 'intake' | 'runner' | 'lifecycle' | 'sessions' | 'queue'>

/** Takes tasks until drained, then waits for those in hand, or ends them. */
async function serve(options: WorkerOptions, parts: Parts): Promise<void> {
  const {registration, intake, runner, lifecycle, sessions, queue} = parts
  const {config, clock, signals, bus} = options
  const background = new AbortController()
  const leave = new AbortController()
  const stopTaking = AbortSignal.any([signals.drain, leave.signal])
  const work = Promise.all([
    // Heartbeats go on while tasks drain: their leases are kept until the end.
    registration.keep(background.signal),
    intake.run(background.signal),
    sessions?.run(background.signal),
    rereadHeld(options, runner, background.signal),
    announceModels(options, registration, background.signal),
    queue.run(background.signal),
  ])
  if (options.once || options.exitAfterIdleMs > 0) void leaveWhenIdle(options, runner, leave, background.signal)
  await Promise.race([aborted(stopTaking), work])
  lifecycle.to('draining')
  runner.drain()
  const limit = new AbortController()
  const drainMs = config.drain_timeout * 1000
  const shutDown = () => runner.stopAll({status: 'failed', error: 'Worker shut down while the task ran'})
  signals.cancel.addEventListener('abort', shutDown, {once: true})
  if (signals.cancel.aborted) shutDown()
  if (drainMs > 0)
    void clock.sleep(drainMs, limit.signal).then(() => {
      if (limit.signal.aborted) return
      signals.endDrain()
      const what = signals.detach.aborted ? 'leaving them to go on' : 'ending them'
      bus.emit({
        type: 'notice',
        level: 'warn',
        text: `Tasks still run after ${config.drain_timeout} s (drain_timeout); ${what}`,
      })
    })
  await whileTasksRun(runner, signals.detach)
  limit.abort()
  background.abort()
  // Whoever is to leave at once does not wait for what is being asked of the agent just now.
  await Promise.race([work, aborted(signals.detach)])
}

/**
 * Resolves when nothing runs; what remains are reports. Detached, it waits only for tasks that have been claimed and
 * have no agent yet, and for them not long: the next process would find nothing to take over.
 */
async function whileTasksRun(runner: TaskRunner, detach: AbortSignal): Promise<void> {
  const mayWait = (phase: ActiveTask['phase']) =>
    detach.aborted ? phase === 'claiming' || phase === 'starting' : phase !== 'reporting'
  let looks = 0
  while (looks < mostLooks && runner.active.some(({phase}) => mayWait(phase))) {
    await Promise.race([...runner.active.map(({done}) => done), new Promise((resolve) => setTimeout(resolve, 50))])
    if (detach.aborted) looks += 1
  }
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), {once: true})
  })

async function leaveWhenIdle(
  {once, exitAfterIdleMs, clock}: WorkerOptions,
  runner: TaskRunner,
  leave: AbortController,
  signal: AbortSignal,
) {
  let idleSince = clock.monotonic()
  while (!signal.aborted && !leave.signal.aborted) {
    await clock.sleep(50, signal)
    if (runner.active.length > 0) idleSince = clock.monotonic()
    else if ((once && runner.taken > 0) || (exitAfterIdleMs > 0 && clock.monotonic() - idleSince >= exitAfterIdleMs))
      leave.abort()
  }
}

/**
 * Reports get a while; then the worker says that it is gone, on a signal of its own, so that nothing swallows it. One
 * that is to leave at once does neither: its next process has the reports, and the agents that go on, in its journal.
 */
async function goodbye(
  {client, clock, workerId, bus, signals: {detach}}: WorkerOptions,
  runner: TaskRunner,
  giveUp: AbortController,
): Promise<void> {
  const done = new AbortController()
  const late = clock.sleep(goodbyeMs, done.signal).then(() => {
    if (done.signal.aborted) return
    bus.emit({
      type: 'notice',
      level: 'warn',
      text: 'The server does not take the last reports; they are kept and sent at the next start',
    })
    giveUp.abort()
  })
  await Promise.race([runner.idle(), aborted(detach)])
  done.abort()
  await late
  if (detach.aborted) bus.emit({type: 'notice', level: 'info', text: leftBehind(runner.active.length)})
  else await client.unregister(workerId, AbortSignal.timeout(3000)).catch(() => {})
  giveUp.abort()
}

const leftBehind = (tasks: number) =>
  tasks === 0
    ? 'Leaving at once; no task was in hand'
    : `Leaving ${tasks} task${tasks === 1 ? '' : 's'} to the next start`

/** The server wants a task ended. One that is not here is confirmed as ended: nothing of it runs. */
function onCancel(
  taskId: string,
  attempt: number,
  reason: string,
  {client, workerId}: WorkerOptions,
  runner: TaskRunner,
): void {
  if (runner.stop(taskId, {status: 'cancelled', error: reason})) return
  if (runner.held.some(({id}) => id === taskId)) return
  const update = {status: 'cancelled', worker_id: workerId, ...(attempt > 0 ? {attempt} : {})}
  void client.updateStatus(taskId, update).catch(() => {})
}

/** Not every server pushes a cancellation, and a push may be lost: what runs is looked up now and then. */
async function rereadHeld(options: WorkerOptions, runner: TaskRunner, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await options.clock.sleep(rereadMs, signal)
    for (const {id} of signal.aborted ? [] : runner.active) await lookUp(id, options, runner, signal)
  }
}

/** In the background: to ask the agent takes it seconds, in which tasks are taken already. */
async function announceModels(
  {models, clock}: WorkerOptions,
  registration: Registration,
  signal: AbortSignal,
): Promise<void> {
  if (!models) return
  await clock.sleep(firstModelsMs, signal)
  while (!signal.aborted) {
    registration.setModels(await models.get())
    await clock.sleep(modelsMs, signal)
  }
}

/** Ends a task that runs here if it is not ours to run any more, by what the server says of it now. */
async function lookUp(
  taskId: string,
  {client, workerId}: WorkerOptions,
  runner: TaskRunner,
  signal: AbortSignal,
): Promise<void> {
  const held = runner.active.find(({id}) => id === taskId)
  if (held?.phase !== 'running') return
  try {
    const reason = reasonToStop(await client.task(taskId, signal), held.attempt, workerId)
    if (reason) runner.stop(taskId, reason)
  } catch (error) {
    if (isAbsent(error)) runner.stop(taskId, {status: 'failed', error: 'the server does not know the task any more'})
  }
}

/** Throws ExpectedError (75): another process has this name. */
export function takeNameLock(workerDir: string, name: string): Disposable {
  const lock = takeLock(join(workerDir, 'lock'), `worker ${name}`)
  if (isLock(lock)) return lock
  throw new ExpectedError(`A worker named '${name}' runs already: pid ${lock.pid}, since ${lock.since}.`, {
    code: 'WORKER_RUNNING',
    exit: 'temporary',
    suggestions: ['Stop it, or give this one another name with --name.'],
  })
}
