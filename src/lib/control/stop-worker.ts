import type {Clock} from '../core/clock.ts'
import {ExpectedError} from '../core/errors.ts'
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
  worker: Pick<LocalWorker, 'name' | 'pid' | 'socket' | 'tasks'>,
  {mode, clock, signal, timeoutMs, onWait}: StopWorkerOptions,
): Promise<void> {
  const {name, pid, socket} = worker
  await sendRequest(socket, {op: mode === 'detach' ? 'detach' : 'drain'})
  if (mode === 'cancel')
    for (const {id} of worker.tasks) await sendRequest(socket, {op: 'cancel', task_id: id}).catch(() => {})
  const startedAt = clock.monotonic()
  while (!signal.aborted) {
    const status = await fetchWorkerStatus(socket).catch(() => undefined)
    // Another worker may listen there by now.
    if (status?.pid !== pid && !isAlive(pid)) return
    if (status) onWait(status.tasks)
    if (timeoutMs > 0 && clock.monotonic() - startedAt >= timeoutMs) throw tooSlow(name, timeoutMs)
    await clock.sleep(lookMs, signal)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

const tooSlow = (name: string, timeoutMs: number) =>
  new ExpectedError(`Worker ${name} still runs after ${timeoutMs / 1000} s. It takes no more tasks.`, {
    code: 'TIMEOUT',
    exit: 'temporary',
    suggestions: ['Run it again to wait longer, or with --cancel to cancel its tasks.'],
  })
