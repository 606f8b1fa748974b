import {HttpError} from '../http/http-error.ts'
import {isFinal} from '../../protocol/schemas.ts'
import type {Change} from '../state/decision.ts'
import type {DiskGuard} from '../store/disk-guard.ts'
import type {Engine} from '../store/engine.ts'
import type {Maintenance} from '../store/maintenance.ts'

/** Seconds until refused output is sent again. Workers that know no better wait for up to a minute, while there is room. */
const retrySeconds = '2'
/** Tasks whose output is dropped for one batch, at most. */
const maxTasks = 20

export type OutputRoomOptions = {
  engine: Pick<Engine, 'state'>
  disk: DiskGuard
  /** Limit on the stored output of one task, in bytes. Of more, the oldest is dropped. */
  maxTaskOutput: number
}

/**
 * Makes room for output that a decision stores, within the limit of its task and on the disk. On a disk that stays full,
 * the output of ended tasks is dropped first, the oldest first, then the older output of the task itself. So the task that
 * fills the disk keeps only its newest output. What finds no room uses the reserve. Throws 503 when half of that is used
 * up: the worker sends the output again later. What comes with the report of a run is a change of state, for which the
 * reserve is.
 */
export function makeRoom(changes: readonly Change[], maintenance: Maintenance, options: OutputRoomOptions): void {
  let bytes = 0
  let taskId = ''
  let isLast = false
  for (const change of changes) {
    if (change.do === 'append-output') {
      bytes += change.output.output.length
      taskId = change.output.task_id
    } else if (change.do === 'update' && change.kind === 'task') isLast ||= isFinal(change.record.status)
  }
  if (taskId === '') return
  const {engine, disk, maxTaskOutput} = options
  const excess = (engine.state.get('task', taskId)?.output_chars ?? 0) + bytes - maxTaskOutput
  if (excess > 0) maintenance.dropOutput(taskId, excess)
  disk.expect(bytes)
  if (!disk.isFull) return
  const missing = bytes - (disk.mustDrop ? dropFor(maintenance, taskId, bytes) : 0)
  const {free, reserve} = disk.state
  if (missing > 0 && free < reserve / 2 && !isLast)
    throw new HttpError(503, 'The disk of the control plane is full: it takes no output until there is space', {
      headers: {'retry-after': retrySeconds},
    })
}

/** Drops output, and returns how many bytes. */
function dropFor(maintenance: Maintenance, taskId: string, bytes: number): number {
  let dropped = 0
  for (let n = 0; n < maxTasks && dropped < bytes; n++) {
    const oldest = maintenance.oldestOutput()
    if (!oldest) break
    dropped += maintenance.dropOutput(oldest.task_id, bytes - dropped)
  }

  return dropped < bytes ? dropped + maintenance.dropOutput(taskId, bytes - dropped) : dropped
}
