import {parseTime} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import type {Codebase, MonitorWorker, Worker} from '../../protocol/schemas.ts'
import {lastSeenOf} from '../rules/dispatch/contact.ts'
import {connectionsFor, treeOf} from '../rules/dispatch/roster.ts'
import type {StoredCodebase, StoredWorker} from '../state/records.ts'
import type {State} from '../state/state.ts'

type Stored = Readonly<StoredWorker>

/** A worker as the wire shows it. */
export function wireWorker(state: State, worker: Stored, models: unknown[] = []): Worker {
  const {unregistered_at: _u, forgotten_at: _f, tasks_completed: _t, machine_id: _m, token: _k, ...shown} = worker
  return {
    ...shown,
    models,
    last_seen: lastSeenOf(state, worker),
    status: statusOf(state, worker),
    connected: isConnected(state, worker),
    running: state.count('leasesOf', worker.worker_id),
  }
}

/** A codebase as the wire shows it, including whether a worker serves it. */
export function wireCodebase(
  state: State,
  codebase: Readonly<StoredCodebase>,
  owner: Stored | undefined = state.get('worker', codebase.worker_id),
): Codebase {
  const {tree: _tree, ...shown} = codebase
  const tree = treeOf(state, codebase.id)
  return {
    ...shown,
    status: tree !== undefined && state.count('leasesOn', tree) > 0 ? 'running' : 'idle',
    opencode_port: null,
    session_id: null,
    watch_mode: false,
    watch_interval: 5,
    served: connectionsFor(state, codebase.id).length > 0,
    hostname: owner?.hostname ?? null,
  }
}

export function monitorWorker(state: State, worker: Stored): MonitorWorker {
  return {
    id: worker.worker_id,
    name: worker.name,
    status: statusOf(state, worker),
    last_heartbeat: lastSeenOf(state, worker),
    codebases: state.count('codebasesOf', worker.worker_id),
    tasks_completed: worker.tasks_completed,
    hostname: worker.hostname,
    connected: isConnected(state, worker),
    running: state.count('leasesOf', worker.worker_id),
    paused: state.get('presence', worker.worker_id)?.pauseReason ?? null,
  }
}

const isConnected = (state: State, {worker_id}: Stored) => state.get('connection', worker_id) !== undefined

function statusOf(state: State, worker: Stored): 'active' | 'stale' | 'offline' {
  if (worker.unregistered_at !== null) return 'offline'
  return isActive(state, worker) ? 'active' : 'stale'
}

/** Whether the worker made a request within the last three heartbeat intervals. */
export const isActive = (state: State, worker: Stored): boolean =>
  worker.unregistered_at === null && state.now - (parseTime(lastSeenOf(state, worker)) ?? 0) <= 3 * limits.heartbeat

/** Workers in the order of their registration. */
export const inOrder = (workers: Iterable<Stored>): Stored[] =>
  [...workers].toSorted((a, b) => {
    const [x, y] = [keyOf(a), keyOf(b)]
    return x < y ? -1 : x > y ? 1 : 0
  })

const keyOf = ({registered_at, worker_id}: Stored) => `${registered_at} ${worker_id}`
