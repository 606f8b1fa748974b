import type {Clock} from '../core/clock.ts'
import {ExpectedError} from '../core/errors.ts'
import {isRunning} from '../core/is-running.ts'
import type {LocalWorker} from './local-workers.ts'
import type {WorkerStatus} from './messages.ts'
import {fetchWorkerStatus, sendRequest} from './socket-client.ts'

/**
 * How a worker is stopped. `drain`: it takes no more tasks, lets the running ones finish, and exits. `cancel`: the running
 * tasks are cancelled. `detach`: its agents keep running, and the next start goes on with them.
 */
export type StopMode = 'drain' | 'cancel' | 'detach'

export type StopWorkerOptions = {
  mode: StopMode
  clock: Clock
  signal: AbortSignal
  /** Stop waiting after this time, in ms; 0 means never. */
  timeoutMs: number
  /** The worker still runs, with these tasks. Called for each look. */
  onWait: (tasks: WorkerStatus['tasks']) => void
}

const lookMs = 250

/** Stops a worker of this machine, and waits for its end. Throws ExpectedError: it refuses (1), or takes too long (75). */
export async function stopWorker(
  worker: Pick<LocalWorker, 'name' | 'pid' | 'socket'>,
  {mode, clock, signal, timeoutMs, onWait}: StopWorkerOptions,
): Promise<void> {
  const {name, pid, socket} = worker
  await sendRequest(socket, {op: mode === 'detach' ? 'detach' : 'drain'})
  const cancelled = new Set<string>()
  const startedAt = clock.monotonic()
  while (!signal.aborted) {
    const status = await fetchWorkerStatus(socket).catch(() => undefined)
    // Another worker may listen there by now.
    if (status?.pid !== pid && !isRunning(pid)) return
    if (status?.pid === pid) {
      onWait(status.tasks)
      if (mode === 'cancel') await cancelTasks(socket, status.tasks, cancelled)
    }
    if (timeoutMs > 0 && clock.monotonic() - startedAt >= timeoutMs) throw tooSlow(name, timeoutMs)
    await clock.sleep(lookMs, signal)
  }
}

/** Cancels each task once. One may have been on its way when the worker was asked to stop. */
async function cancelTasks(socket: string, tasks: WorkerStatus['tasks'], cancelled: Set<string>): Promise<void> {
  for (const {id} of tasks) {
    if (cancelled.has(id)) continue
    cancelled.add(id)
    await sendRequest(socket, {op: 'cancel', task_id: id}).catch(() => {}) // it has just ended
  }
}

const tooSlow = (name: string, timeoutMs: number) =>
  new ExpectedError(`Worker ${name} still runs after ${timeoutMs / 1000} s. It takes no more tasks.`, {
    code: 'TIMEOUT',
    exit: 'temporary',
    suggestions: ['Run it again to wait longer, or with --cancel to cancel its tasks.'],
  })
