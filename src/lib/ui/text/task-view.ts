import {parseTime} from '../../core/clock.ts'
import type {Codebase, Task} from '../../protocol/schemas.ts'
import {age, plainLine, table} from './table.ts'

/** Tasks as a table. `now` is in ms. */
export function taskTable(tasks: readonly Task[], now: number): string {
  const rows = tasks.map((task) => [
    task.id,
    task.status,
    age(parseTime(task.created_at), now),
    `${plainLine(task.title, 50)}${task.waiting ? ` (${plainLine(task.waiting, 80)})` : ''}`,
  ])
  return rows.length === 0 ? 'No tasks.' : table(rows, ['ID', 'STATUS', 'AGE', 'TITLE'])
}

/** Codebases as a table. */
export function codebaseTable(codebases: readonly Codebase[]): string {
  const rows = codebases.map(({id, name, served, hostname, path}) => [
    id,
    plainLine(name, 30),
    served === null ? '?' : served ? 'yes' : 'no',
    hostname ?? '-',
    path,
  ])
  return rows.length === 0 ? 'No codebases.' : table(rows, ['ID', 'NAME', 'SERVED', 'HOST', 'PATH'])
}

/** All known details of a task, with the result at the end. */
export function taskDetails(task: Task): string {
  const {usage} = task
  const rows = [
    ['id', task.id],
    ['title', plainLine(task.title, 200)],
    ['status', task.lost_since ? `${task.status} (worker lost since ${task.lost_since})` : task.status],
    ['waiting', task.waiting],
    ['codebase', task.codebase_id],
    ['worker', task.worker_id],
    ['agent', task.agent_type],
    ['model', task.model],
    ['session', task.session_id],
    ['attempt', task.attempt > 0 ? String(task.attempt) : null],
    ['created', task.created_at],
    ['started', task.started_at],
    ['completed', task.completed_at],
    ['took', usage?.duration_ms == null ? null : `${(usage.duration_ms / 1000).toFixed(1)} s`],
    ['tokens', usage ? `${usage.input} in, ${usage.output} out` : null],
    ['cost', usage ? `$${usage.cost.toFixed(4)}` : null],
    ['error', task.error],
  ]
  const shown = rows.flatMap(([label, value]) => (value ? [[label ?? '', value]] : []))
  return table(shown) + (task.result ? `\n\n${task.result}` : '')
}
