import {cell, emptyRow, row, rule, type Area, type Cell, type Row} from './cells.ts'
import {wrap} from '../text/plain-text.ts'
import {scrollable, visibleRows, type ScrollableTail} from './scrolling.ts'
import {agentStateText} from '../../protocol/agent-state.ts'
import {questionText} from '../../protocol/task-input.ts'
import {formatClock, formatElapsed} from '../../core/text/times.ts'
import type {AnyTask, TaskView} from '../view/view.ts'

/** A task with the output of its agent: the newest lines, or lines from position `first` on. */
export function outputRows(task: AnyTask | undefined, first: number | undefined, area: Area): Row[] {
  if (!task) return [emptyRow, row(area.width, cell('  No task to show.', 'dim'))]
  const head = outputHeader(task, area)
  const lines = scrollableOutput(task, area)
  const isDoing = 'agentState' in task && task.agentState !== null
  if (lines?.tail.items.length === 0 && !isDoing) return [...head, row(area.width, cell('No output yet.', 'dim'))]
  return [...head, ...(lines ? visibleRows(lines, first) : [])]
}

/** The output as a scrollable list. Undefined for a waiting task, which has no output. */
export function scrollableOutput(task: AnyTask | undefined, area: Area): ScrollableTail | undefined {
  if (!task || !('lines' in task)) return undefined
  const {width, height} = area
  const rowsLeft = Math.max(0, height - outputHeader(task, area).length)
  return scrollable(task.lines, rowsLeft, (line) => wrap(line, width).map((part) => row(width, cell(part))))
}

const outputHeader = (task: AnyTask, area: Area): Row[] => [
  rule(area.width, `${task.id.slice(0, 8)} ${task.title}`),
  row(area.width, ...describeTask(task)),
  ...questionRows(task, area),
  ...waitRows(task, area),
  ...stateRows(task, area),
  ...errorRows(task, area),
]

/** What the agent asks, in full: the list shows only the beginning. */
function questionRows(task: AnyTask, {width}: Area): Row[] {
  const questions = 'questions' in task ? task.questions : []
  return questions
    .slice(0, 3)
    .flatMap((question) => wrap(`? ${questionText(question)}`, width).slice(0, 3))
    .map((part) => row(width, cell(part, 'warn')))
}

function describeTask(task: AnyTask): Cell[] {
  const part = (text: string | null) => (text === null || text === '' ? [] : [cell(`${text}  `, 'dim')])
  if ('reason' in task) return [cell('waits: ', 'warn'), cell(task.reason || 'the server gives no reason')]
  if ('status' in task)
    return [
      cell(`${task.status} `, task.status === 'completed' ? 'good' : task.status === 'failed' ? 'bad' : 'warn'),
      ...part(`after ${formatElapsed(task.ms)}${task.cost > 0 ? `, $${task.cost.toFixed(4)}` : ''}`),
      ...part(task.path),
    ]
  return [
    cell(`${task.phase}  `),
    ...part(task.agent),
    ...part(task.pid === null ? null : `pid ${task.pid}`),
    ...part(task.attempt > 1 ? `attempt ${task.attempt}` : null),
    ...part(task.path),
    ...part(task.sessionId),
  ]
}

/** What the agent of an active task does, and for how long. Undefined if that is unknown. */
export function agentStateLine({phase, agentState}: TaskView, now: number): string | undefined {
  if (agentState === null || phase !== 'running') return undefined
  return `${agentStateText(agentState)}, ${formatClock(now - agentState.since)}`
}

function stateRows(task: AnyTask, {width, now}: Area): Row[] {
  const line = 'agentState' in task && task.waiting === null ? agentStateLine(task, now) : undefined
  return line === undefined ? [] : [row(width, cell(`▸ ${line}`, 'accent'))]
}

/** Why the agent waits for its provider. */
const waitRows = (task: AnyTask, {width}: Area): Row[] =>
  'waiting' in task && task.waiting !== null
    ? wrap(task.waiting, width)
        .slice(0, 2)
        .map((line) => row(width, cell(line, 'warn')))
    : []

function errorRows(task: AnyTask, {width, height}: Area): Row[] {
  if (!('error' in task) || task.error === null) return []
  return wrap(task.error, width)
    .slice(0, Math.max(1, Math.floor(height / 2)))
    .map((line) => row(width, cell(line, 'bad')))
}
