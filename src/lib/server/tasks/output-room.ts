import {HttpError} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'

/** Tasks whose output is dropped for one batch, at most. */
const maxTasks = 20

/**
 * Makes room for output of a running task, within its own limit and on the disk. On a disk that stays full, the output of
 * ended tasks is dropped first, the oldest first, then the older output of the task itself. So the task that fills the
 * disk keeps only its newest output. What finds no room uses the reserve. Throws 503 when half of that is used up:
 * the worker sends the output again later. `isLast`: it comes with the report of the run, and a report is a change of
 * state, for which the reserve is. Returns the task as it is then.
 */
export function makeRoom(parts: Parts, task: StoredTask, bytes: number, {isLast = false} = {}): StoredTask {
  const {store, disk, maxTaskOutput} = parts
  const excess = task.output_chars + bytes - maxTaskOutput
  if (excess > 0) store.output.drop(task.id, excess)
  disk.expect(bytes)
  const missing = disk.isFull ? bytes - (disk.mustDrop ? dropFor(parts, task, bytes) : 0) : 0
  const {free, reserve} = disk.state
  if (missing > 0 && free < reserve / 2 && !isLast)
    throw new HttpError(503, 'The disk of the control plane is full: it takes no output until there is space')
  const isUnchanged = excess <= 0 && !disk.isFull
  return isUnchanged ? task : (store.tasks.get(task.id) ?? task)
}

/** Drops output, and returns how many bytes. */
function dropFor({store}: Parts, task: StoredTask, bytes: number): number {
  let dropped = 0
  for (let n = 0; n < maxTasks && dropped < bytes; n++) {
    const oldest = store.output.oldest()
    if (!oldest) break
    dropped += store.output.drop(oldest.task_id, bytes - dropped)
  }

  return dropped < bytes ? dropped + store.output.drop(task.id, bytes - dropped) : dropped
}
