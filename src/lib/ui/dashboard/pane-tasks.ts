import {basename} from 'node:path'
import {questionsText} from '../../protocol/task-input.ts'
import {cell, column, emptyRow, row, type Area, type Row, type Tone} from './cells.ts'
import {selectedRow, shownTask, type Screen} from './screen.ts'
import {agentStateLine} from './pane-output.ts'
import {idCell, selectionMark, taskList} from './task-list.ts'
import {formatClock, formatDuration} from '../../core/text/times.ts'
import type {TaskPhase, TaskView, View, WaitingTask} from '../view/view.ts'

const phaseTones: Record<TaskPhase, Tone> = {
  claiming: 'dim',
  starting: 'dim',
  running: 'good',
  stopping: 'warn',
  reporting: 'accent',
}

/** Active and waiting tasks in one list, and below them the details of the selected task. */
export function tasksPane(view: View, screen: Screen, area: Area): Row[] {
  const {tasks, waiting, waitingMore} = view
  if (tasks.length + waiting.length === 0)
    return [emptyRow, ...emptyText(view, area.now).map((text) => row(area.width, cell(`  ${text}`, 'dim')))]
  const selected = selectedRow(view, screen)
  const rows = [
    ...tasks.map((task, i) => taskRow(activeCells(task, area.now), i === selected, area)),
    ...waiting.map((task, i) => taskRow(waitingCells(task), tasks.length + i === selected, area)),
    ...(waitingMore > 0 ? [row(area.width, cell(`  … and ${waitingMore} more waiting`, 'dim'))] : []),
  ]
  return taskList({rows, selected, task: shownTask(view, screen)}, area)
}

const howToCreate = [
  'No active and no waiting tasks.',
  'Press n to create one, or run: a2a-worker tasks create "Fix the failing test"',
]

/** Why the list is empty, and what to do. */
function emptyText(view: View, now: number): string[] {
  if (view.phase === 'idle' || view.phase === 'starting') return startText(view, now)
  const reason = emptyReason(view)
  return reason === undefined ? howToCreate : [reason]
}

/** What the start waits for, and the last warning, which says what blocks it. */
function startText({startup, log}: View, now: number): string[] {
  const step = startup === null ? 'Starting.' : `Starting: ${startup.step}, ${formatClock(now - startup.since)}`
  const warning = log.items.findLast(({level}) => level === 'warn' || level === 'error')
  return [step, ...(warning ? [warning.text] : [])]
}

function emptyReason({isPaused, isDiskLow, troubles, phase, codebases}: View): string | undefined {
  if (phase === 'draining' || phase === 'stopping') return 'All tasks have ended.'
  if (isPaused) return 'Paused: the worker takes no tasks. Press p to resume.'
  if (isDiskLow) return 'The worker takes no tasks: the disk of the state directory is nearly full. See the log.'
  const [trouble] = troubles
  if (trouble)
    return `The worker takes no tasks${trouble.name ? ` of provider ${trouble.name}` : ''}: ${trouble.reason}`
  if (phase === 'running' && !codebases.some(({id}) => id !== null))
    return 'No codebase is served, so no tasks arrive. Run: a2a-worker register PATH'
  if (phase === 'stopped' || phase === 'failed') return 'The worker does not run.'
  return undefined
}

type Cells = {
  task: TaskView | WaitingTask
  state: string
  stateTone: Tone
  /** What the agent does, or why the task waits. */
  detail: string
  detailTone: Tone
}

function activeCells(task: TaskView, now: number): Cells {
  const {phase, lines, questions} = task
  const asked = questionsText(questions)
  const waiting = asked ?? task.waiting
  const doing = agentStateLine(task, now)
  return {
    task,
    state: asked === undefined ? phase : 'asks',
    stateTone: asked === undefined ? phaseTones[phase] : 'warn',
    detail: waiting ?? doing ?? lines.items.at(-1) ?? '',
    detailTone: waiting === null ? 'dim' : 'warn',
  }
}

const waitingCells = (task: WaitingTask): Cells => ({
  task,
  state: 'waits',
  stateTone: 'warn',
  detail: task.reason,
  detailTone: 'dim',
})

/** Width of the columns before the title. */
const fixedWidth = 30
const codebaseWidth = 14
const minWidthForCodebase = 76

function taskRow({task, state, stateTone, detail, detailTone}: Cells, isSelected: boolean, {width, now}: Area): Row {
  const hasCodebase = width >= minWidthForCodebase
  const room = width - fixedWidth - (hasCodebase ? codebaseWidth : 0)
  return row(
    width,
    selectionMark(isSelected),
    idCell(task.id),
    column(state, 10, stateTone),
    column(formatDuration(now - task.since), 9),
    ...(hasCodebase ? [column(`${basename(task.path).slice(0, 30)} `, codebaseWidth, 'accent')] : []),
    column(task.title, Math.max(10, Math.floor(room * 0.48)), isSelected ? 'chosen' : 'plain'),
    cell(` ${detail}`, detailTone),
  )
}
