import {isoTime, parseTime} from '../../core/clock.ts'
import {agentStateText} from '../../protocol/agent-state.ts'
import type {Codebase, Task, TaskStatus} from '../../protocol/schemas.ts'
import type {OpenQuestion, StoredInput} from '../../protocol/task-input.ts'
import {fittedTable, type Cell, type Column, type Screen} from './fitted-table.ts'
import type {TextTone} from './paint.ts'
import {shortIds} from './short-ids.ts'
import {age} from '../../core/text/times.ts'
import {plainLine} from '../../core/text/plain-line.ts'
import {table} from './table.ts'
import {formatClock, formatElapsed} from '../../core/text/times.ts'

const statusTones: Record<TaskStatus, TextTone> = {
  pending: 'warn',
  assigned: 'warn',
  running: 'good',
  completed: 'dim',
  failed: 'bad',
  cancelled: 'dim',
}

const taskColumns: readonly Column[] = [
  {heading: 'ID'},
  {heading: 'STATUS'},
  {heading: 'CODEBASE', min: 8, omit: 2},
  {heading: 'WORKER', min: 6, omit: 4},
  {heading: 'AGE', omit: 1},
  {heading: 'DURATION', omit: 3},
  {heading: 'COST', omit: 5},
  {heading: 'TITLE', min: 16},
]

/** Names by id. */
export type Names = {codebases: ReadonlyMap<string, string>; workers: ReadonlyMap<string, string>}

/** Tasks as a table. On a terminal with short ids. `now` is in ms. */
export function taskTable(tasks: readonly Task[], {codebases, workers}: Names, now: number, screen: Screen): string {
  if (tasks.length === 0) return 'No tasks.'
  const shorten = screen.width === undefined ? (id: string) => id : shortIds(tasks.map(({id}) => id))
  const rows = tasks.map((task): Cell[] => [
    shorten(task.id),
    statusCell(task),
    plainLine(codebases.get(task.codebase_id) ?? task.codebase_id, 30),
    task.worker_id === null ? '-' : plainLine(workers.get(task.worker_id) ?? task.worker_id, 30),
    age(parseTime(task.created_at), now),
    durationOf(task, now),
    task.usage?.cost ? `$${task.usage.cost.toFixed(4)}` : '-',
    `${plainLine(task.title, 80)}${task.waiting ? ` (${plainLine(task.waiting, 80)})` : ''}`,
  ])
  return fittedTable(taskColumns, rows, screen)
}

/** A task that waits for an answer needs somebody, so it is told from others that run. */
const statusCell = ({status, waiting_for: asked = []}: Task): Cell =>
  asked.length > 0 ? {text: `${status}, asks`, tone: 'warn'} : {text: status, tone: statusTones[status]}

/** How long a task has run, or runs already. */
function durationOf({usage, started_at: started, completed_at: completed, status}: Task, now: number): string {
  if (usage?.duration_ms != null) return formatElapsed(usage.duration_ms)
  const from = parseTime(started)
  const to = status === 'running' ? now : parseTime(completed)
  return from === undefined || to === undefined ? '-' : formatElapsed(Math.max(0, to - from))
}

const codebaseColumns: readonly Column[] = [
  {heading: 'ID'},
  {heading: 'NAME', min: 8},
  {heading: 'SERVED'},
  {heading: 'HOST', min: 6, omit: 1},
  {heading: 'PATH', min: 16, keepsEnd: true},
]

/** Codebases as a table. */
export function codebaseTable(codebases: readonly Codebase[], screen: Screen): string {
  if (codebases.length === 0) return 'No codebases.'
  const rows = codebases.map(({id, name, served, hostname, path}): Cell[] => [
    id,
    plainLine(name, 30),
    served === null ? '?' : served ? {text: 'yes', tone: 'good'} : {text: 'no', tone: 'warn'},
    hostname ?? '-',
    path,
  ])
  return fittedTable(codebaseColumns, rows, screen)
}

const withName = (text: string | null, name: string | null) =>
  text && name ? `${text} by ${plainLine(name, 60)}` : text

/** A question with its options and the command that answers it, for people. */
export function questionLines(taskId: string, question: OpenQuestion, isOnly: boolean): string {
  const until = question.until === null ? '' : `, until ${isoTime(question.until)}`
  const flag = isOnly ? '' : ` --question ${question.id}`
  return `${plainLine(question.title, 400)} (question ${question.id}${until})\n  → Answer it: a2a-worker tasks answer ${taskId} allow|always|deny|TEXT${flag}`
}

function inputRow({
  question,
  option,
  text,
  created_at,
  created_by,
  state,
  reason,
  next_task: next,
}: StoredInput): string[] {
  const what = option ?? JSON.stringify(plainLine(text ?? '', 100))
  const about = question === null ? '' : ` to question ${question}`
  const end = next === null ? `${state}${reason === null ? '' : `: ${plainLine(reason, 200)}`}` : `next task ${next}`
  return ['told', `${withName(created_at, created_by)}${about}: ${what} (${end})`]
}

/** All known details of a task and what was said to it, with the result at the end. */
export function taskDetails(task: Task, inputs: readonly StoredInput[] = []): string {
  const {usage, agent_state: state, waiting_for: asked = []} = task
  const rows = [
    ['id', task.id],
    ['title', plainLine(task.title, 200)],
    ['status', task.lost_since ? `${task.status} (worker lost since ${task.lost_since})` : task.status],
    ['waiting', asked.length > 0 ? null : task.waiting],
    ...asked.map((question) => ['asks', questionLines(task.id, question, asked.length === 1)]),
    ['doing', state ? `${agentStateText(state)}, ${formatClock(state.for_ms)}` : null],
    ['codebase', task.codebase_id],
    ['worker', task.worker_id],
    ['agent', task.agent_type],
    ['model', task.model],
    ['session', task.session_id],
    ['attempt', task.attempt > 0 ? String(task.attempt) : null],
    ['created', withName(task.created_at, task.created_by)],
    ['cancelled by', task.cancelled_by],
    ['retried by', task.retried_by],
    ['started', task.started_at],
    ['completed', task.completed_at],
    ['took', usage?.duration_ms == null ? null : `${(usage.duration_ms / 1000).toFixed(1)} s`],
    ['tokens', usage ? `${usage.input} in, ${usage.output} out` : null],
    ['cost', usage ? `$${usage.cost.toFixed(4)}` : null],
    ...inputs.slice(-20).map(inputRow),
    ['error', task.error],
  ]
  const shown = rows.flatMap(([label, value]) => (value ? [[label ?? '', value]] : []))
  return table(shown) + (task.result ? `\n\n${task.result}` : '')
}
