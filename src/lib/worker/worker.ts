import {join} from 'node:path'
import {makePrivateDirectory, workerDirectory} from '../config/state-directory.ts'
import {openJournal} from '../journal/open-journal.ts'
import {applyReload} from './apply-reload.ts'
import {assembleWorker} from './assemble.ts'
import {createWorkerDisk} from './disk/worker-disk.ts'
import {guardLeases} from './lease-guard.ts'
import {acquireWorkerLock} from './locks/worker-lock.ts'
import {runRedaction} from './redaction.ts'
import type {PauseKind} from './run/task-runner.ts'
import type {RunningWorker} from './running-worker.ts'
import {runWorkLoop, shutDown} from './work-loop.ts'
import type {WorkerOptions} from './worker-options.ts'

const nothingServed =
  'No codebase is served, so no task will come: add one with `a2a-worker register PATH`, or start with --codebase PATH'

/**
 * Runs a worker from start to exit: registers it, recovers the runs of an earlier process, takes tasks until drained,
 * and shuts down. Throws ExpectedError: another process has this name (75), the state cannot be written (73), the
 * control plane refuses the token (77).
 */
export async function runWorker(
  options: WorkerOptions,
  onRunning: (worker: RunningWorker) => void = () => {},
): Promise<void> {
  const {config, name, workerId, stateDir, bus, clock, signals} = options
  const {emit} = bus
  const workerDir = makePrivateDirectory(workerDirectory(stateDir, name))
  const storage = createWorkerDisk({
    config,
    workerDir,
    clock,
    emit,
    activeTaskIds: () => new Set(runner.active.map(({id}) => id)),
    onLow: (reason) => pause('disk', reason),
    retryWrites: () => journal.retryWrites(),
  })
  const {disk} = storage
  const makeRoom = () => disk.makeRoom()
  using _lock = acquireWorkerLock(workerDir, name, makeRoom)
  const onBroken = (text: string) => emit({type: 'notice', level: 'error', text})
  using journal = await openJournal(join(workerDir, 'journal.db'), {now: clock.now(), makeRoom, onBroken})
  const giveUp = new AbortController()
  const redaction = runRedaction(options)
  const assembled = assembleWorker(options, {workerDir, journal, storage, redaction, signal: giveUp.signal})
  const {components, recover} = assembled
  const {lifecycle, registration, runner, codebases, sessions} = components
  await using _sessions = sessions
  const pause = (kind: PauseKind, reason: string | null) => {
    runner.setPaused(kind, reason)
    void registration.heartbeatNow(giveUp.signal)
  }
  const renewRedaction = () => {
    redaction.renew()
    sessions?.redactWith({secrets: redaction.secrets(), patterns: config.redact})
  }

  try {
    lifecycle.to('starting')
    onRunning({
      ...components,
      name,
      workerId,
      setPaused: (isPaused) => pause('operator', isPaused ? 'the worker is paused' : null),
      applyReload: (reloaded) => applyReload(reloaded, {...components, config, signal: giveUp.signal, renewRedaction}),
    })
    await disk.check().catch(() => {}) // a worker on a full disk says so from the first heartbeat on
    recover()
    void guardLeases({runner, registration, config, clock}, giveUp.signal)
    await registration.registerWithRetries(signals.drain)
    let closed: Promise<unknown> | undefined
    if (!signals.drain.aborted || runner.active.length > 0) {
      const servesNothing = registration.isRegistered && codebases.ids.length === 0
      if (servesNothing) emit({type: 'notice', level: 'warn', text: nothingServed})
      lifecycle.to('running')
      closed = (await runWorkLoop(options, components)).closed
    }

    lifecycle.to('stopping')
    await Promise.all([shutDown(options, runner, giveUp), closed])
    lifecycle.to('stopped')
  } catch (error) {
    giveUp.abort()
    lifecycle.to('failed')
    throw error
  }
}
