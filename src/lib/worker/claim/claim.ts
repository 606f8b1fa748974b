import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {isNotFound, isTransient, isUnauthorized, RefusedError, retryAfterMs} from '../../client/http.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Registration} from '../registration/registration.ts'

export type ClaimOptions = {
  client: ControlPlaneClient
  workerId: string
  clock: Clock
  signal: AbortSignal
  registration: Pick<Registration, 'has'>
  stream: StreamControl
  pollSoon: () => void
}

/** The existing server accepts claims only from a worker with an open stream, so a claim must know its state. */
export type StreamControl = {isOpen: () => boolean; reopen: (reason: string) => void}

/** The task is ours and `running`, or the reason why it is not. */
export type Claimed = {task: Task} | {dropped: string}

const maxTries = 6
const pause = fullJitter(100, 4000)

/**
 * On the existing server a claim marks the whole worker as busy, so that it is pushed nothing. A task that is reported
 * as `running` needs no claim any more, so the claim is released after this time. It is as long as it is because of
 * `claimInSteps`.
 */
const heldMs = 500

/** Claims a task, safely with both kinds of control plane. Ours sets it to `running` and answers with it. */
export async function claim(offered: Task, options: ClaimOptions): Promise<Claimed> {
  const {registration, stream} = options
  if (registration.has('claim-task')) return claimAtOnce(offered, options, () => readTask(offered, options))
  if (stream.isOpen()) return claimInSteps(offered, options)
  return claimByStatus(offered, options, readTask(offered, options))
}

/**
 * With the existing server the task must be read again (a push may be old, short or repeated), and reported as `running`
 * if it is still pending. It is read while the claim is on its way. If the claim takes long, that reading may be older
 * than another worker's report and the release after it, so it is repeated.
 */
async function claimInSteps(offered: Task, options: ClaimOptions): Promise<Claimed> {
  const {clock} = options
  const startedAt = clock.monotonic()
  const early = readTask(offered, options)
  early.catch(() => {}) // the claim may be refused first
  const claimed = await claimAtOnce(offered, options, () =>
    clock.monotonic() - startedAt < heldMs ? early : readTask(offered, options),
  )
  if ('task' in claimed) void releaseSoon(claimed.task.id, options)
  return claimed
}

async function releaseSoon(taskId: string, {client, workerId, clock, signal, pollSoon}: ClaimOptions): Promise<void> {
  await clock.sleep(heldMs, signal)
  if (signal.aborted) return // the end of the stream releases all claims
  await client.release(workerId, {task_id: taskId, status: 'running'}, signal).catch(() => {})
  pollSoon() // pushes to a busy worker are not repeated
}

async function claimAtOnce(offered: Task, options: ClaimOptions, read: () => Promise<Task>): Promise<Claimed> {
  const {client, workerId, signal} = options
  try {
    const answer = await withRetries(() => client.claim(offered.id, workerId, signal), options)
    if (answer.task) return {task: {...answer.task, attempt: answer.attempt ?? answer.task.attempt}}
  } catch (error) {
    if (signal.aborted) return {dropped: 'the worker is stopping'}
    const refusal = await finalRefusal(error, options)
    if (refusal !== undefined) return {dropped: refusal}
  }

  return claimByStatus(offered, options, read())
}

/** The reason of a final refusal. Undefined means: try to claim by status. */
async function finalRefusal(error: unknown, options: ClaimOptions): Promise<string | undefined> {
  if (isNotFound(error) || isUnauthorized(error)) {
    const isTaskMissing = error instanceof RefusedError && error.detail.startsWith('Task ')
    return isTaskMissing ? error.detail : undefined
  }

  return (await isStreamLost(error, options)) ? undefined : messageOf(error)
}

/** The existing server also calls a task taken when it has only lost our stream. The stream is then reopened. */
async function isStreamLost(error: unknown, options: ClaimOptions): Promise<boolean> {
  const {client, workerId, signal, registration, stream} = options
  if (!(error instanceof RefusedError) || error.status !== 409 || registration.has('claim-task')) return false
  const connected = await client.isConnected(workerId, signal).catch(() => undefined)
  if (connected === false) stream.reopen('the server does not know this stream any more')
  return connected === false
}

async function claimByStatus(offered: Task, options: ClaimOptions, reading: Promise<Task>): Promise<Claimed> {
  const {client, workerId, signal} = options
  try {
    const task = await reading
    const isOurs = task.status === 'running' && task.worker_id === workerId
    if (task.status !== 'pending' && !isOurs) return release(task.id, `it is ${task.status}`, options)
    await withRetries(() => client.updateStatus(task.id, {status: 'running', worker_id: workerId}, signal), options)
    return {task}
  } catch (error) {
    return release(offered.id, messageOf(error), options)
  }
}

/** Reads the task. Falls back to the pushed one if the server cannot show it and the push is complete. */
async function readTask(offered: Task, options: ClaimOptions): Promise<Task> {
  try {
    return await withRetries(() => options.client.task(offered.id, options.signal), options)
  } catch (error) {
    if (isNotFound(error) && offered.prompt !== '') return offered
    throw error
  }
}

async function release(taskId: string, dropped: string, {client, workerId}: ClaimOptions): Promise<Claimed> {
  await client.release(workerId, {task_id: taskId, status: 'pending'}).catch(() => {})
  return {dropped}
}

/** A lost answer to a claim would leave a task that each worker believes another has. */
async function withRetries<T>(step: () => Promise<T>, {clock, signal}: ClaimOptions): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await step()
    } catch (error) {
      if (signal.aborted || !isTransient(error) || failures >= maxTries) throw error
      await clock.sleep(Math.max(pause(failures), retryAfterMs(error)), signal)
    }
  }
}
