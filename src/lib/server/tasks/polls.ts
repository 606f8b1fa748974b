import type {Task} from '../../protocol/schemas.ts'
import type {Parts} from '../dispatch/parts.ts'
import {isPseudoCodebase} from '../dispatch/roster.ts'
import {waitingReason} from '../dispatch/waiting.ts'
import type {PendingTask, StoredTask} from '../store/store.ts'
import {fillPage} from '../http/paging.ts'
import {wireTask} from '../streams/task-view.ts'
import {defaultLimit} from './task-lists.ts'

/** The tasks that a worker which polls with its id may take now. */
export function claimableTasks(parts: Parts, workerId: string): Task[] {
  const heads = headsOf(parts, workerId, ({id}) => {
    const offer = parts.dispatch.offers.get(id)
    return offer ? offer.workerId === workerId : !parts.dispatch.isOffered(id)
  })
  return shown(parts, heads.slice(0, defaultLimit))
}

/**
 * What the existing worker gets from a poll. It does not say who it is, and it runs everything it gets, so it gets no
 * more than it has free slots, and nothing that is offered. Several workers may come from one address: each ignores the
 * codebases of others, so only tasks without a codebase must fit into the free slots of each. `only`: the worker that
 * the token belongs to. Undefined: no worker of that kind is known, so a person polls.
 */
export function anonymousPoll(parts: Parts, address: string | undefined, only?: string): Task[] | undefined {
  const {dispatch} = parts
  const pollers = likelyPollers(parts, address).filter((workerId) => only === undefined || workerId === only)
  if (pollers.length === 0) return undefined
  const choices = pollers.map((workerId) => {
    const heads = headsOf(parts, workerId, ({id}) => !dispatch.isOffered(id))
    return heads.slice(0, Math.max(0, dispatch.freeSlots(workerId)))
  })
  const isForAll = ({id}: PendingTask) => choices.every((tasks) => tasks.some((task) => task.id === id))
  const chosen = new Map<string, PendingTask>()
  for (const task of choices.flat()) if (!isShared(task) || isForAll(task)) chosen.set(task.id, task)
  const answer = shown(parts, [...chosen.values()].toSorted(byUrgency))
  for (const task of answer) if (isShared(task)) dispatch.handOut(task.id)
  return answer
}

/** Whether any worker may take it. */
const isShared = ({codebase_id}: {codebase_id: string}) => isPseudoCodebase(codebase_id)

/** The workers without leases that may have sent a request from this address, if possible those without a stream. */
function likelyPollers({store, leases, hub, roster}: Parts, address: string | undefined): string[] {
  const ids = store.registry.workers({withModels: false}).map(({worker_id}) => worker_id)
  const candidates = ids.filter((id) => !roster.profile(id).hasLeases)
  const here = candidates.filter((id) => leases.addressOf(id) === address)
  const possible = here.length > 0 ? here : candidates
  const withoutStream = possible.filter((id) => !hub.streamOf(id))
  return withoutStream.length > 0 ? withoutStream : possible
}

const byUrgency = (a: PendingTask, b: PendingTask) => b.priority - a.priority || a.n - b.n

/** The first pending tasks of each codebase that the worker may take: as many as there is room for in its tree. */
function headsOf(parts: Parts, workerId: string, isFree: (task: PendingTask) => boolean): PendingTask[] {
  const {store, dispatch, roster, clock} = parts
  const mayTake = ({id, required}: PendingTask) => {
    const backoff = dispatch.backoffs.get(id, workerId)
    if (backoff?.reason !== undefined && backoff.until > clock.monotonic()) return false
    return !required?.some((wanted) => !roster.profile(workerId).capabilities.includes(wanted))
  }
  const room = new Map<string, number>()
  const found: PendingTask[] = []
  for (const codebaseId of roster.codebasesOf(workerId)) {
    const tree = roster.treeOf(codebaseId) ?? codebaseId
    const offered = offersIn(parts, codebaseId, workerId)
    found.push(...offered.filter(isFree))
    let left = room.get(tree) ?? Math.min(dispatch.roomIn(codebaseId), defaultLimit)
    for (const task of left > 0 ? store.tasks.pendingOf(codebaseId) : []) {
      if (offered.some(({id}) => id === task.id) || !isFree(task) || !mayTake(task)) continue
      found.push(task)
      if (--left <= 0) break
    }
    room.set(tree, left)
  }

  return found.sort(byUrgency)
}

/** The tasks of a codebase that are offered to this worker. */
function offersIn({dispatch, roster, store}: Parts, codebaseId: string, workerId: string): StoredTask[] {
  const tree = roster.treeOf(codebaseId)
  if (tree === undefined) return []
  return [...dispatch.offers.onTree(tree)]
    .filter((offer) => offer.workerId === workerId)
    .flatMap(({taskId}) => store.tasks.get(taskId) ?? [])
    .filter(({codebase_id}) => codebase_id === codebaseId)
}

/** As many of the first tasks as fit in an answer. The worker polls again when it has taken them. */
function shown(parts: Parts, tasks: readonly PendingTask[]): Task[] {
  const show = (task: StoredTask) => wireTask(task, waitingReason(task, parts))
  return fillPage(storedTasks(parts, tasks), defaultLimit, show).shown
}

/** Reads one task after the other: their prompts need not all be in memory. */
function* storedTasks({store}: Parts, tasks: readonly PendingTask[]): Generator<StoredTask> {
  for (const {id} of tasks) {
    const task = store.tasks.get(id)
    if (task) yield task
  }
}
