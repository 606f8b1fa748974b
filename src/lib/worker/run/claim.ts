import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {isAbsent, isTransient, isUnauthorized, RefusedError} from '../../client/http.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Registration} from '../registration/registration.ts'

export type ClaimParts = {
  client: ControlPlaneClient
  workerId: string
  clock: Clock
  signal: AbortSignal
  registration: Pick<Registration, 'has'>
  stream: TaskStreamState
}

/** What a claim must know of the task stream, on which the existing server's claims hang. */
export type TaskStreamState = {isOpen: () => boolean; reopen: (reason: string) => void}

/** The task is ours and `running`, or the reason why it is not. */
export type Claimed = {task: Task} | {dropped: string}

const tries = 6
const pause = fullJitter(100, 4000)

/**
 * Takes a task, safe with both kinds of server. Ours answers a claim with the task, and the claim is the move to
 * `running`. With the existing one: claim while our stream is open, as it refuses every other claim; read the task anew
 * (a push may be old, short, or double), then report it `running`; only what is still pending is taken.
 */
export async function claim(offered: Task, parts: ClaimParts): Promise<Claimed> {
  const {client, workerId, signal, registration, stream} = parts
  if (!registration.has('claim-task') && !stream.isOpen()) return takeByStatus(offered, parts)
  try {
    const answer = await insist(() => client.claim(offered.id, workerId, signal), parts)
    if (answer.task) return {task: {...answer.task, attempt: answer.attempt ?? answer.task.attempt}}
  } catch (error) {
    if (signal.aborted) return {dropped: 'the worker is stopping'}
    const verdict = await judgeRefusal(error, parts)
    if (verdict !== undefined) return {dropped: verdict}
  }

  return takeByStatus(offered, parts)
}

/** Undefined: go on without a claim. */
async function judgeRefusal(error: unknown, parts: ClaimParts): Promise<string | undefined> {
  if (isAbsent(error) || isUnauthorized(error)) {
    const noSuchTask = error instanceof RefusedError && error.detail.startsWith('Task ')
    return noSuchTask ? error.detail : undefined
  }

  return (await isStreamLost(error, parts)) ? undefined : messageOf(error)
}

/** The existing server calls a task taken also when all it has lost is our stream, which is then opened anew. */
async function isStreamLost(error: unknown, parts: ClaimParts): Promise<boolean> {
  const {client, workerId, signal, registration, stream} = parts
  if (!(error instanceof RefusedError) || error.status !== 409 || registration.has('claim-task')) return false
  const connected = await client.isConnected(workerId, signal).catch(() => undefined)
  if (connected === false) stream.reopen('the server does not know this stream any more')
  return connected === false
}

async function takeByStatus(offered: Task, parts: ClaimParts): Promise<Claimed> {
  const {client, workerId, signal} = parts
  try {
    const task = await current(offered, parts)
    const isOurs = task.status === 'running' && task.worker_id === workerId
    if (task.status !== 'pending' && !isOurs) return giveBack(task.id, `it is ${task.status}`, parts)
    await insist(() => client.updateStatus(task.id, {status: 'running', worker_id: workerId}, signal), parts)
    return {task}
  } catch (error) {
    return giveBack(offered.id, messageOf(error), parts)
  }
}

/** The task as the server has it now; what was pushed only where the server cannot show it and it is whole. */
async function current(offered: Task, parts: ClaimParts): Promise<Task> {
  try {
    return await insist(() => parts.client.task(offered.id, parts.signal), parts)
  } catch (error) {
    if (isAbsent(error) && offered.prompt !== '') return offered
    throw error
  }
}

async function giveBack(taskId: string, dropped: string, {client, workerId}: ClaimParts): Promise<Claimed> {
  await client.release(workerId, {task_id: taskId, status: 'pending'}).catch(() => {})
  return {dropped}
}

/** A lost answer to a claim would leave a task that everybody thinks another has. */
async function insist<T>(step: () => Promise<T>, {clock, signal}: ClaimParts): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await step()
    } catch (error) {
      if (signal.aborted || !isTransient(error) || failures >= tries) throw error
      await clock.sleep(pause(failures), signal)
    }
  }
}
