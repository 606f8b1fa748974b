import type {Lease, StoredTask} from './records.ts'
import type {State} from './state.ts'
import {treeKey} from './tree-key.ts'

/** A lease that begins now. `isConfirmed`: the worker has claimed the task, or confirmed its assignment. */
export function newLease(
  state: State,
  {id, attempt, codebase_id: codebaseId}: Pick<StoredTask, 'id' | 'attempt' | 'codebase_id'>,
  workerId: string,
  {isConfirmed}: {isConfirmed: boolean},
): Lease {
  const {time, policy} = state
  const codebase = state.get('codebase', codebaseId) // a pseudo-codebase is none, and has no tree
  return {
    ...{taskId: id, attempt, workerId, codebaseId, isConfirmed, heldSince: time, isLost: false},
    tree: codebase && treeKey(codebase),
    until: time + (isConfirmed ? policy.leaseMs : policy.confirmMs),
  }
}
