import {globalCodebase, pendingCodebase} from '../../../protocol/routes.ts'
import {all, pair, type Connection, type StoredCodebase} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {treeKey} from '../../state/tree-key.ts'

/** What dispatch needs to know about a worker. */
export type Profile = {
  name: string
  hostname: string | null
  slots: number
  /** Its claims are leases and its heartbeats list active tasks. Not so for the Python worker. */
  hasLeases: boolean
  /** It takes a task that it is given as its own, and confirms it. Others must claim it. */
  takesAssignments: boolean
  /** It reads the task itself, so a frame may omit the prompt. */
  fetches: boolean
  capabilities: readonly string[]
}

/** Slots of a worker that does not register a number: the Python worker's fixed number. */
const defaultSlots = 2

export function profileOf(state: State, workerId: string): Profile {
  const worker = state.get('worker', workerId)
  const features = worker?.features ?? []
  return {
    name: worker?.name ?? workerId,
    hostname: worker?.hostname ?? null,
    slots: worker?.max_concurrent_tasks ?? defaultSlots,
    hasLeases: features.includes('lease'),
    takesAssignments: features.includes('assign'),
    fetches: features.includes('fetch'),
    capabilities: worker?.capabilities ?? [],
  }
}

/** Such a worker announces a global codebase if it takes tasks of `global`. Others may take them anyway. */
const takesAssignments = (state: State, workerId: string): boolean =>
  state.get('worker', workerId)?.features.includes('assign') ?? false

export const nameOf = (state: State, workerId: string): string => state.get('worker', workerId)?.name ?? workerId

/** Whether the worker's claims are leases. Not so for the existing worker. */
export const hasLeases = ({features}: {features: readonly string[]}) => features.includes('lease')

/** Whether a codebase is registered by no worker, so that several workers may take its tasks. */
export const isPseudoCodebase = (codebaseId: string) => codebaseId === globalCodebase || codebaseId === pendingCodebase

/** The open streams that a task of this codebase may be given to, its owner's first. */
export function connectionsFor(state: State, codebaseId: string): Connection[] {
  if (codebaseId === pendingCodebase) return [...state.find('connections', all)]
  if (codebaseId === globalCodebase) {
    const withGlobal = connectedWithGlobal(state)
    if (withGlobal.length > 0) return withGlobal
    return [...state.find('connections', all)].filter(({workerId}) => !takesAssignments(state, workerId))
  }

  const owner = state.get('codebase', codebaseId)?.worker_id
  const own = owner === undefined ? undefined : state.get('connection', owner)
  const naming = [...state.find('connectionsNaming', codebaseId)].filter(({workerId}) => workerId !== owner)
  return own ? [own, ...naming] : naming
}

/** Workers for tasks of `global`: those that announce a global codebase, or have one of that name. */
function* globalWorkers(state: State): Generator<string> {
  for (const {worker_id} of state.find('globalWorkers', all)) yield worker_id
  for (const {worker_id} of state.find('globalCodebases', all)) yield worker_id
}

const connectedWithGlobal = (state: State): Connection[] =>
  [...new Set(globalWorkers(state))].flatMap((workerId) => state.get('connection', workerId) ?? [])

function hasGlobal(state: State, workerId: string): boolean {
  if (state.get('worker', workerId)?.global_codebase_id) return true
  for (const {name} of state.find('codebasesOf', workerId)) if (name === globalCodebase) return true
  return false
}

/** Whether this worker may take tasks of this codebase, connected or not. */
export function serves(state: State, workerId: string, codebaseId: string): boolean {
  if (codebaseId === pendingCodebase) return true
  if (codebaseId === globalCodebase)
    return hasGlobal(state, workerId) || (!takesAssignments(state, workerId) && connectedWithGlobal(state).length === 0)
  return (
    state.get('codebase', codebaseId)?.worker_id === workerId ||
    (state.get('connection', workerId)?.codebases.includes(codebaseId) ?? false)
  )
}

/** All codebases whose tasks this worker may take: its own, those its stream names, and the pseudo-codebases. */
export function codebasesFor(state: State, workerId: string): Set<string> {
  const ids = new Set(state.get('connection', workerId)?.codebases)
  for (const {id} of state.find('codebasesOf', workerId)) ids.add(id)
  ids.add(pendingCodebase)
  ids.delete(globalCodebase)
  return serves(state, workerId, globalCodebase) ? ids.add(globalCodebase) : ids
}

/** Key of the codebase's working tree. */
export function treeOf(state: State, codebaseId: string): string | undefined {
  const codebase = isPseudoCodebase(codebaseId) ? undefined : state.get('codebase', codebaseId)
  return codebase && treeKey(codebase)
}

/**
 * How many tasks may run in the codebase's working tree at once: one, unless the control plane was told otherwise. Our
 * worker locks a tree for one task, so that applies to others only.
 */
export function tasksPerTree(state: State, codebaseId: string): number {
  const {parallelTasks} = state.policy
  if (parallelTasks.size === 0) return 1
  const codebase = state.get('codebase', codebaseId)
  if (!codebase || profileOf(state, codebase.worker_id).hasLeases) return 1
  const {id, name, path} = codebase
  return [id, name, path, '*'].map((key) => parallelTasks.get(key)).find((n) => n !== undefined) ?? 1
}

/** The codebase at this path of a worker. */
export function codebaseAt(state: State, workerId: string, path: string): StoredCodebase | undefined {
  for (const codebase of state.find('codebaseAt', pair(workerId, path))) return codebase
  return undefined
}
