import type {Plane} from '../../plane/plane.ts'
import {inOrder, monitorWorker} from '../../registry/registry-view.ts'
import {listCodebases} from '../../registry/codebase-list.ts'
import {mayRead, sharedCodebasesOf} from '../../rules/dispatch/boundary.ts'
import {freeSlots, loadOf} from '../../rules/dispatch/capacity.ts'
import {waitingFor} from '../../rules/tasks/dialogue.ts'
import {profileOf} from '../../rules/dispatch/roster.ts'
import {all, type StoredTask} from '../../state/records.ts'
import type {DayStats} from './day-stats.ts'
import {taskRow, type TaskRow} from './task-rows.ts'
import type {Viewer} from './viewer.ts'

export type WorkerRow = {
  id: string
  name: string
  hostname: string | null
  version: string | null
  status: string
  isConnected: boolean
  lastSeen: string
  /** Why it takes no tasks now. */
  paused: string | null
  slots: number
  used: number
  free: number
  completed: number
  codebases: {id: string; name: string}[]
}

export type Overview = {
  workers: WorkerRow[]
  moreWorkers: number
  codebases: number
  counts: {pending: number; running: number}
  asking: TaskRow[]
  running: TaskRow[]
  waiting: TaskRow[]
  recent: TaskRow[]
  /** Of all tasks, so not for a worker's token. */
  day: DayStats | undefined
  now: number
}

const maxWorkers = 50
const maxRows = 10
/** Running tasks among which questions are looked for. */
const maxRunning = 300

/** What the first page shows. */
export function overview(plane: Plane, viewer: Viewer, day: (now: number) => DayStats): Overview {
  const {state, views} = plane
  const {only} = viewer
  const reader =
    only === undefined ? {} : {readable_by: {worker_id: only, shared_codebases: sharedCodebasesOf(state, only)}}
  const row = (task: Readonly<StoredTask>) => taskRow(plane, task)
  const workers = inOrder(state.find('knownWorkers', all))
    .filter(({worker_id}) => only === undefined || worker_id === only)
    .map((worker) => ({worker, shown: monitorWorker(state, worker)}))
    .toSorted((a, b) => Number(b.shown.connected) - Number(a.shown.connected))
  const held = [...take(views.tasks.list({status: 'running', ...reader}), maxRunning)]
  const assigned = [...take(views.tasks.list({status: 'assigned', ...reader}), maxRows)]
  const pending = [...take(views.tasks.list({status: 'pending', ...reader}), maxRows)]
  const counts = only === undefined ? views.tasks.counts() : {pending: pending.length, running: held.length}
  return {
    workers: workers.slice(0, maxWorkers).map(({worker, shown}) => ({
      ...{id: shown.id, name: shown.name, hostname: shown.hostname, version: worker.version, status: shown.status},
      ...{isConnected: shown.connected, lastSeen: shown.last_heartbeat ?? '', paused: shown.paused},
      slots: profileOf(state, shown.id).slots,
      used: loadOf(state, shown.id),
      free: Math.max(0, freeSlots(state, shown.id)),
      completed: worker.tasks_completed,
      codebases: [...state.find('codebasesOf', shown.id)].map(({id, name}) => ({id, name})),
    })),
    moreWorkers: Math.max(0, workers.length - maxWorkers),
    codebases: listCodebases(state, {includeDuplicates: false, only}).length,
    counts: {pending: (counts['pending'] ?? 0) + (counts['assigned'] ?? 0), running: counts['running'] ?? 0},
    asking: held
      .filter((task) => waitingFor(state, task).length > 0)
      .slice(0, maxRows)
      .map(row),
    running: held
      .filter((task) => waitingFor(state, task).length === 0)
      .slice(0, maxRows)
      .map(row),
    waiting: [...assigned, ...pending].slice(0, maxRows).map(row),
    recent: recentlyEnded(plane, only).map(row),
    day: only === undefined ? day(state.now) : undefined,
    now: state.now,
  }
}

/** Ended tasks among which those of a worker are looked for. */
const maxSeen = 300

function recentlyEnded({state, views}: Plane, only: string | undefined): StoredTask[] {
  const found: StoredTask[] = []
  for (const task of take(views.tasks.lastEnded(), only === undefined ? maxRows : maxSeen)) {
    if (only === undefined || mayRead(state, only, task)) found.push(task)
    if (found.length >= maxRows) break
  }
  return found
}

function* take<T>(items: Iterable<T>, most: number): Generator<T> {
  let left = most
  if (left <= 0) return
  for (const item of items) {
    yield item
    if ((left -= 1) <= 0) return
  }
}
