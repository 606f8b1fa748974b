import {pendingCodebase} from '../../../protocol/routes.ts'
import type {Draft} from '../../state/draft.ts'
import {newLease} from '../../state/new-lease.ts'
import {pair, type PendingTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {fitsFrame} from '../../state/frame-size.ts'
import {backoffOf} from './backoffs.ts'
import {hasRoom, hasSlot, loadOf} from './capacity.ts'
import {closeStream} from './contact.ts'
import {codebasesFor, connectionsFor, profileOf, treeOf} from './roster.ts'

/** A worker that was made to poll for a task that cannot be pushed is not made to poll for it again for this long. */
const pollAgainMs = 60_000
/** How many waiting tasks of a codebase are tried when its working tree becomes free. */
const maxTried = 10

/** A worker that may be given a task: by its stream, or in the answer to its poll (no `connectionId`). */
type Taker = {workerId: string; capabilities: readonly string[]; connectionId?: string}

/** Gives a pending task to the best worker with room. Returns whether there was one. */
export function place(draft: Draft, task: PendingTask): boolean {
  if (isOffered(draft, task.id) || !hasRoom(draft, task.codebase_id)) return false
  const takers = connectionsFor(draft, task.codebase_id).filter(
    (taker) => hasSlot(draft, taker.workerId) && mayTake(draft, taker, task),
  )
  const able = takers.filter(({workerId}) => canPush(draft, task, workerId))
  const best = preferred(draft, task.codebase_id, able.length > 0 ? able : takers)
  if (best) give(draft, task, best)
  return best !== undefined
}

/** Gives the pending task with this id, if it is one, to the best worker with room. */
export function placeById(draft: Draft, taskId: string): boolean {
  const task = draft.get('task', taskId)
  return task?.status === 'pending' && place(draft, task)
}

/** Gives waiting tasks to a connected worker while it has free slots. */
export function fill(draft: Draft, workerId: string): void {
  const connection = draft.get('connection', workerId)
  if (connection) fillTaker(draft, connection)
}

/** Gives waiting tasks to a worker that polls, while it has free slots. */
export const fillPolling = (draft: Draft, workerId: string): void =>
  fillTaker(
    draft,
    draft.get('connection', workerId) ?? {workerId, capabilities: profileOf(draft, workerId).capabilities},
  )

function fillTaker(draft: Draft, taker: Taker): void {
  while (hasSlot(draft, taker.workerId)) {
    const next = nextFor(draft, taker)
    if (!next || !give(draft, next, taker)) return
  }
}

/** A working tree has become free: gives away the codebase's next task. */
export function placeNext(draft: Draft, codebaseId: string): void {
  if (!draft.hasQueue(codebaseId) || !hasRoom(draft, codebaseId)) return
  let tried = 0
  for (const task of draft.queue(codebaseId)) if (place(draft, task) || ++tried >= maxTried) return
}

/** Whether the task is offered to somebody, by a push or in the answer to a poll. */
export const isOffered = (state: State, taskId: string): boolean =>
  state.get('offer', taskId) !== undefined || (state.get('polled', taskId)?.handedOutUntil ?? 0) > state.time

/** Whether a frame with this task can be sent to the worker. */
export const canPush = (state: State, task: Pick<PendingTask, 'frame_size'>, workerId: string): boolean =>
  fitsFrame(task) || profileOf(state, workerId).fetches

/** Whether a worker with a free slot may be given the task. */
function mayTake(state: State, {workerId, capabilities, connectionId}: Taker, task: PendingTask): boolean {
  if ((backoffOf(state, task.id, workerId)?.until ?? 0) > state.time) return false
  if (task.required?.some((wanted) => !capabilities.includes(wanted))) return false
  if (connectionId === undefined) return true
  return canPush(state, task, workerId) || (state.get('polled', task.id)?.askedUntil ?? 0) <= state.time
}

const lastTurn = (state: State, workerId: string, codebaseId: string) =>
  state.get('turn', pair(workerId, codebaseId))?.n ?? 0

/** The codebase's owner, or otherwise the worker with the least load. */
function preferred<T extends Taker>(state: State, codebaseId: string, takers: T[]): T | undefined {
  if (takers.length < 2 || treeOf(state, codebaseId) !== undefined) return takers[0]
  const load = (workerId: string) => (codebaseId === pendingCodebase ? 0 : loadOf(state, workerId))
  const rank = ({workerId}: T) => ({load: load(workerId), turn: lastTurn(state, workerId, codebaseId)})
  return takers.map((taker) => ({taker, ...rank(taker)})).toSorted((a, b) => a.load - b.load || a.turn - b.turn)[0]
    ?.taker
}

/** The most urgent of the first tasks of each codebase. Codebases with equal priority take turns. */
function nextFor(draft: Draft, taker: Taker): PendingTask | undefined {
  let best: PendingTask | undefined
  for (const codebaseId of codebasesFor(draft, taker.workerId)) {
    if (!draft.hasQueue(codebaseId) || !hasRoom(draft, codebaseId)) continue
    for (const task of draft.queue(codebaseId)) {
      if (best && task.priority < best.priority) break
      if (isOffered(draft, task.id) || !mayTake(draft, taker, task)) continue
      if (!best || isNext(draft, task, best, taker)) best = task
      break
    }
  }

  return best
}

function isNext(state: State, task: PendingTask, other: PendingTask, {workerId}: Taker): boolean {
  if (task.priority !== other.priority) return task.priority > other.priority
  const difference = lastTurn(state, workerId, task.codebase_id) - lastTurn(state, workerId, other.codebase_id)
  return difference === 0 ? task.n < other.n : difference < 0
}

/** Assigns the task, or offers it to a worker that must claim it. Returns false if the worker was made to poll instead. */
function give(draft: Draft, {id, codebase_id, ...size}: PendingTask, taker: Taker): boolean {
  const {workerId, connectionId} = taker
  const profile = profileOf(draft, workerId)
  // the Python worker ignores a task id that it has seen on this stream, but polls when a stream ends
  const isSeen = !profile.hasLeases && (backoffOf(draft, id, workerId)?.missed ?? 0) > 0
  if (connectionId !== undefined && (isSeen || !canPush(draft, size, workerId))) {
    const handedOutUntil = draft.get('polled', id)?.handedOutUntil ?? 0
    draft.put('polled', id, {taskId: id, handedOutUntil, askedUntil: draft.time + pollAgainMs})
    closeStream(draft, workerId)
    return false
  }

  draft.put('turn', pair(workerId, codebase_id), {workerId, codebaseId: codebase_id, n: draft.time})
  if (profile.takesAssignments) assign(draft, id, workerId)
  else if (connectionId !== undefined) {
    const until = draft.time + draft.policy.offerMs
    const tree = treeOf(draft, codebase_id)
    draft.put('offer', id, {taskId: id, workerId, connectionId, tree, codebaseId: codebase_id, until})
    const task = draft.get('task', id)
    if (task) draft.emit({type: 'give', task, workerId, status: 'pending'})
  } else return false
  return true
}

/** pending → assigned: the worker holds the task from now on, and must confirm that it has received it. */
function assign(draft: Draft, taskId: string, workerId: string): void {
  const task = draft.get('task', taskId)
  if (task?.status !== 'pending') return
  draft.update('task', taskId, {status: 'assigned', worker_id: workerId, updated_at: draft.timestamp})
  draft.put('lease', taskId, newLease(draft, task, workerId, {isConfirmed: false}))
  forgetOffer(draft, taskId)
  const assigned = draft.get('task', taskId)
  if (assigned) draft.emit({type: 'give', task: assigned, workerId, status: 'assigned'})
}

/** The task is offered to nobody any more. */
export function forgetOffer(draft: Draft, taskId: string): void {
  draft.remove('offer', taskId)
  draft.remove('polled', taskId)
}
