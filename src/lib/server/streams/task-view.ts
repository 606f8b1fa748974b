import {limits} from '../../protocol/limits.ts'
import type {Task, TaskStatus} from '../../protocol/schemas.ts'
import {fitsFrame, sizeOf} from '../state/frame-size.ts'
import type {StoredTask} from '../state/records.ts'

/** The task as the wire shows it. */
export function wireTask(task: StoredTask, waiting: string | null = null): Task {
  const {n: _n, required: _required, frame_size: _size, ...withOutput} = task
  const {
    output_next: _n2,
    output_seq: _s2,
    output_first: _f2,
    output_chars: _c2,
    output_lost: _l2,
    output_dropped: _d2,
    ...shown
  } = withOutput
  return {...shown, waiting}
}

/**
 * The data of a `task_available` event: the complete task, under the names that all kinds of workers read. If the line
 * would be too long for the existing worker, it omits the copy of the prompt. If it is still too long it omits the
 * prompt, too, and is sent only to workers that fetch the task.
 */
export function taskFrame(task: StoredTask, status: TaskStatus): Record<string, unknown> {
  const whole = {...wireTask(task), task_id: task.id, status}
  if (task.frame_size + sizeOf(task.prompt) <= limits.frame) return {...whole, description: task.prompt}
  if (fitsFrame(task)) return whole
  const {id, codebase_id, title, agent_type, priority, attempt, created_at, worker_id} = task
  return {id, task_id: id, codebase_id, title, agent_type, priority, attempt, created_at, worker_id, status}
}
