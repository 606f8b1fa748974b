import {limits} from '../../protocol/limits.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {StoredTask} from '../store/store.ts'

/** The task as the wire shows it. */
export function wireTask(task: StoredTask, waiting: string | null = null): Task {
  const {n: _n, required: _required, frame_size: _size, ...withOutput} = task
  const {
    output_next: _n2,
    output_seq: _s2,
    output_first: _f2,
    output_chars: _c2,
    output_lost: _l2,
    ...shown
  } = withOutput
  return {...shown, waiting}
}

/**
 * The data of a `task_available` event: the complete task, under the names that all kinds of workers read. If the line
 * would be too long for the existing worker, it omits the copy of the prompt. If it is still too long it omits the
 * prompt, too, and is sent only to workers that fetch the task.
 */
export function taskFrame(task: StoredTask): Record<string, unknown> {
  const whole = {...wireTask(task), task_id: task.id, status: 'pending'}
  if (task.frame_size + sizeOf(task.prompt) <= limits.frame) return {...whole, description: task.prompt}
  if (fitsFrame(task)) return whole
  const {id, codebase_id, title, agent_type, priority, attempt, created_at} = task
  return {id, task_id: id, codebase_id, title, agent_type, priority, attempt, created_at, status: 'pending'}
}

/** Whether the prompt fits into a line that the existing worker can read. */
export const fitsFrame = ({frame_size}: {frame_size: number}) => frame_size <= limits.frame

/** The size of a new task's frame, without the copy of the prompt and with a reserve for fields that change later. */
export function frameSize(task: {title: string; prompt: string; metadata: object}): number {
  const changing = 1024
  return sizeOf(task) + changing
}

const sizeOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value))
