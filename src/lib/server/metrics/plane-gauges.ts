import {parseTime} from '../../core/clock.ts'
import type {PlaneMetric} from '../../metrics/plane-metrics.ts'
import {readProcess} from '../../metrics/process-metrics.ts'
import type {Registry} from '../../metrics/registry.ts'
import {taskStatuses} from '../../protocol/statuses.ts'
import type {Refusals} from '../limits/refusals.ts'
import type {Plane} from '../plane/plane.ts'
import {freeSlots, loadOf} from '../rules/dispatch/capacity.ts'
import {waitingFor} from '../rules/tasks/dialogue.ts'
import {all} from '../state/records.ts'
import type {State} from '../state/state.ts'
import type {DiskGuard} from '../store/disk-guard.ts'
import type {Hub} from '../streams/hub.ts'

export type GaugeSources = {
  plane: Plane
  hub: Pick<Hub, 'openCount'>
  disk: Pick<DiskGuard, 'state'>
  refusals: Pick<Refusals, 'totals'>
  version: string
}

type Target = Registry<PlaneMetric>

/** A worker without a stream counts as polling if it made a request this recently. */
const recentMs = 45_000
/** Prompts are read with the tasks, so only a few are. A task that was retried is older than it has waited. */
const oldestLooked = 10

/** Reads all that a control plane knows at the moment of a scrape. */
export function readGauges(registry: Target, {plane, hub, disk, refusals, version}: GaugeSources): void {
  readProcess(registry, 'a2a_plane', version)
  registry.set('a2a_plane_ready', plane.problem === undefined ? 1 : 0)
  registry.set('a2a_plane_streams_open', hub.openCount)
  registry.set('a2a_plane_disk_full', disk.state.isFull ? 1 : 0)
  if (Number.isFinite(disk.state.free)) registry.set('a2a_plane_disk_free_bytes', disk.state.free)
  for (const [kind, count] of refusals.totals) registry.set('a2a_plane_requests_refused_total', count, {kind})
  readWorkers(registry, plane.state)
  readTasks(registry, plane)
  readQuestions(registry, plane.state)
}

function readWorkers(registry: Target, state: State): void {
  const workers = {connected: 0, polling: 0, offline: 0}
  let [free, used, paused] = [0, 0, 0]
  for (const {worker_id: id} of state.find('workers', all)) {
    const presence = state.get('presence', id)
    const isConnected = state.get('connection', id) !== undefined
    const isRecent = presence !== undefined && state.now - presence.lastSeen < recentMs
    workers[isConnected ? 'connected' : isRecent ? 'polling' : 'offline'] += 1
    used += loadOf(state, id)
    if (!isConnected) continue
    free += Math.max(0, freeSlots(state, id))
    if (presence !== undefined && presence.pauseReason !== null) paused += 1
  }

  for (const [name, count] of Object.entries(workers)) registry.set('a2a_plane_workers', count, {state: name})
  registry.set('a2a_plane_workers_paused', paused)
  registry.set('a2a_plane_slots_free', free)
  registry.set('a2a_plane_slots_used', used)
}

function readTasks(registry: Target, {state, views}: Plane): void {
  const counts = views.tasks.counts()
  for (const status of taskStatuses) registry.set('a2a_plane_tasks', counts[status] ?? 0, {status})
  const leases = [...state.find('leases', all)]
  registry.set('a2a_plane_tasks_lost', leases.filter(({isLost}) => isLost).length)
  let since = state.now
  let looked = 0
  for (const {updated_at} of views.tasks.list({status: 'pending', order: 'oldest'})) {
    since = Math.min(since, parseTime(updated_at) ?? since)
    if ((looked += 1) >= oldestLooked) break
  }
  registry.set('a2a_plane_queue_oldest_seconds', (state.now - since) / 1000)
}

function readQuestions(registry: Target, state: State): void {
  const questions = [...state.find('leases', all)].flatMap(({taskId}) =>
    waitingFor(state, {id: taskId, status: 'running'}),
  )
  const since = Math.min(state.now, ...questions.map(({since: asked}) => asked))
  registry.set('a2a_plane_questions_open', questions.length)
  registry.set('a2a_plane_question_oldest_seconds', (state.now - since) / 1000)
}
