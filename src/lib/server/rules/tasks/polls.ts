import type {Draft, Rule} from '../../state/draft.ts'
import {all, type PendingTask, type StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {fillPolling, isOffered} from '../dispatch/assignment.ts'
import {backoffOf} from '../dispatch/backoffs.ts'
import {freeSlots, roomIn} from '../dispatch/capacity.ts'
import {recordContact} from '../dispatch/contact.ts'
import {codebasesFor, isPseudoCodebase, profileOf, treeOf} from '../dispatch/roster.ts'

/** Tasks of one answer, at most. */
const maxTasks = 100

/**
 * The tasks that a worker which polls with its id may take now. Those that it holds and has not confirmed, if it takes
 * assignments: it is given as many as it has room for. Otherwise those that it may claim. By their ids.
 */
export const pollTasks: Rule<{worker_id: string}, string[]> = (draft, {worker_id: workerId}) => {
  const worker = draft.get('worker', workerId)
  if (worker?.unregistered_at === null && profileOf(draft, workerId).takesAssignments) {
    recordContact(draft, workerId)
    fillPolling(draft, workerId)
    return [...draft.find('leasesOf', workerId)].flatMap(({isConfirmed, taskId}) => (isConfirmed ? [] : [taskId]))
  }

  const heads = headsOf(draft, workerId, ({id}) => {
    const offer = draft.get('offer', id)
    return offer ? offer.workerId === workerId : !isOffered(draft, id)
  })
  return heads.slice(0, maxTasks).map(({id}) => id)
}

/**
 * What the existing worker gets from a poll, as ids. It does not say who it is, and it runs everything it gets, so it
 * gets no more than it has free slots, and nothing that is offered. Several workers may come from one address: each
 * ignores the codebases of others, so only tasks without a codebase must fit into the free slots of each. `only`: the
 * worker that the token belongs to. Undefined: no worker of that kind is known, so a person polls.
 */
export const pollAnonymously: Rule<{address: string | undefined; only: string | undefined}, string[] | undefined> = (
  draft,
  {address, only},
) => {
  const pollers = likelyPollers(draft, address).filter((workerId) => only === undefined || workerId === only)
  if (pollers.length === 0) return undefined
  const choices = pollers.map((workerId) => {
    const heads = headsOf(draft, workerId, ({id}) => !isOffered(draft, id))
    return heads.slice(0, Math.max(0, freeSlots(draft, workerId)))
  })
  const isForAll = ({id}: PendingTask) => choices.every((tasks) => tasks.some((task) => task.id === id))
  const chosen = new Map<string, PendingTask>()
  for (const task of choices.flat()) if (!isShared(task) || isForAll(task)) chosen.set(task.id, task)
  const answer = [...chosen.values()].toSorted(byUrgency).slice(0, maxTasks)
  for (const task of answer) if (isShared(task)) handOut(draft, task.id)
  return answer.map(({id}) => id)
}

/** The task is in an answer that does not say whose it is: for a while nobody else is offered it. */
function handOut(draft: Draft, taskId: string): void {
  const askedUntil = draft.get('polled', taskId)?.askedUntil ?? 0
  draft.put('polled', taskId, {taskId, askedUntil, handedOutUntil: draft.time + draft.policy.offerMs})
}

/** Whether any worker may take it. */
const isShared = ({codebase_id}: {codebase_id: string}) => isPseudoCodebase(codebase_id)

/** The workers without leases that may have sent a request from this address, if possible those without a stream. */
function likelyPollers(state: State, address: string | undefined): string[] {
  const ids = [...state.find('workers', all)].map(({worker_id}) => worker_id)
  const candidates = ids.filter((id) => !profileOf(state, id).hasLeases)
  const here = candidates.filter((id) => state.get('presence', id)?.address === address)
  const possible = here.length > 0 ? here : candidates
  const withoutStream = possible.filter((id) => !state.get('connection', id))
  return withoutStream.length > 0 ? withoutStream : possible
}

const byUrgency = (a: PendingTask, b: PendingTask) => b.priority - a.priority || a.n - b.n

/** The first pending tasks of each codebase that the worker may take: as many as there is room for in its tree. */
function headsOf(state: State, workerId: string, isFree: (task: PendingTask) => boolean): PendingTask[] {
  const {capabilities} = profileOf(state, workerId)
  const mayTake = ({id, required}: PendingTask) => {
    const backoff = backoffOf(state, id, workerId)
    if (backoff?.reason !== undefined && backoff.until > state.time) return false
    return !required?.some((wanted) => !capabilities.includes(wanted))
  }
  const room = new Map<string, number>()
  const found: PendingTask[] = []
  for (const codebaseId of codebasesFor(state, workerId)) {
    const tree = treeOf(state, codebaseId) ?? codebaseId
    const offered = offersIn(state, codebaseId, workerId)
    found.push(...offered.filter(isFree))
    let left = room.get(tree) ?? Math.min(roomIn(state, codebaseId), maxTasks)
    for (const task of left > 0 ? state.queue(codebaseId) : []) {
      if (offered.some(({id}) => id === task.id) || !isFree(task) || !mayTake(task)) continue
      found.push(task)
      if (--left <= 0) break
    }
    room.set(tree, left)
  }

  return found.sort(byUrgency)
}

/** The tasks of a codebase that are offered to this worker. */
function offersIn(state: State, codebaseId: string, workerId: string): Readonly<StoredTask>[] {
  const tree = treeOf(state, codebaseId)
  if (tree === undefined) return []
  return [...state.find('offersOn', tree)]
    .filter((offer) => offer.workerId === workerId && offer.codebaseId === codebaseId)
    .flatMap(({taskId}) => state.get('task', taskId) ?? [])
}
