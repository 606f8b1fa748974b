import type {PendingTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {profileOf, tasksPerTree, treeOf} from './roster.ts'

/** How many tasks the worker may have at once now: its slots, or what its last heartbeat said. */
const capacityOf = (state: State, workerId: string): number =>
  Math.min(profileOf(state, workerId).slots, state.get('presence', workerId)?.capacity ?? Number.POSITIVE_INFINITY)

export const hasSlot = (state: State, workerId: string): boolean => freeSlots(state, workerId) > 0

/** How many more tasks the worker may get. Negative if it has more than it should. */
export const freeSlots = (state: State, workerId: string): number =>
  capacityOf(state, workerId) - loadOf(state, workerId)

/** How many tasks the worker has, held or offered. */
export const loadOf = (state: State, workerId: string): number =>
  state.count('leasesOf', workerId) + state.count('offersOf', workerId)

/** Whether the codebase's working tree has room for another task. */
export function hasRoom(state: State, codebaseId: string): boolean {
  const tree = treeOf(state, codebaseId)
  if (tree === undefined) return true
  return state.count('leasesOn', tree) + state.count('offersOn', tree) < tasksPerTree(state, codebaseId)
}

/** How many more tasks the codebase's working tree may have. A codebase without a tree has no limit. */
export function roomIn(state: State, codebaseId: string): number {
  if (treeOf(state, codebaseId) === undefined) return Number.POSITIVE_INFINITY
  return tasksPerTree(state, codebaseId) - occupants(state, codebaseId).length
}

/** The task because of which the working tree has no room for this one. */
export function blockerOf(
  state: State,
  {id, codebase_id}: Pick<PendingTask, 'id' | 'codebase_id'>,
): string | undefined {
  const others = occupants(state, codebase_id).filter((taskId) => taskId !== id)
  return others.length >= tasksPerTree(state, codebase_id) ? others[0] : undefined
}

/** The tasks in the codebase's working tree, held or offered. */
function occupants(state: State, codebaseId: string): string[] {
  const tree = treeOf(state, codebaseId)
  if (tree === undefined) return []
  return [...state.find('leasesOn', tree), ...state.find('offersOn', tree)].map(({taskId}) => taskId)
}
