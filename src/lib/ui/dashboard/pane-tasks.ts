import {basename} from 'node:path'
import {cell, column, emptyRow, row, rule, type Area, type Row, type Tone} from './cells.ts'
import {selectedRow, shownTask, type Screen} from './screen.ts'
import {idCell, selectionMark, taskList} from './task-list.ts'
import {formatDuration} from '../text/times.ts'
import type {TaskPhase, TaskView, View, WaitingTask} from '../view/view.ts'

const phaseTones: Record<TaskPhase, Tone> = {
  claiming: 'dim',
  starting: 'dim',
  running: 'good',
  stopping: 'warn',
  reporting: 'accent',
}

/** Active tasks, waiting tasks with their reasons, and below them the details of the selected task. */
export function tasksPane(view: View, screen: Screen, area: Area): Row[] {
  const {tasks, waiting, waitingMore} = view
  if (tasks.length + waiting.length === 0) return [emptyRow, row(area.width, cell(`  ${emptyText(view)}`, 'dim'))]
  const selected = selectedRow(view, screen)
  const rows = [
    ...tasks.map((task, i) => taskRow(task, i === selected, area)),
    ...(waiting.length > 0 ? [rule(area.width, `${waiting.length + waitingMore} waiting`)] : []),
    ...waiting.map((task, i) => waitingRow(task, tasks.length + i === selected, area)),
  ]
  // The heading above the waiting tasks takes a row.
  const selectedIndex = selected < tasks.length ? selected : selected + 1
  return taskList({rows, selected: selectedIndex, task: shownTask(view, screen)}, area)
}

function emptyText({isPaused, isDiskLow, troubles, phase, codebases, log}: View): string {
  // The last warning says what blocks the start.
  if (phase === 'idle' || phase === 'starting')
    return log.items.findLast(({level}) => level === 'warn' || level === 'error')?.text ?? 'Starting.'
  if (phase === 'draining' || phase === 'stopping') return 'All tasks have ended.'
  if (isPaused) return 'Paused: the worker takes no tasks. Press p to resume.'
  if (isDiskLow) return 'The worker takes no tasks: the disk of the state directory is nearly full. See the log.'
  const [trouble] = troubles
  if (trouble)
    return `The worker takes no tasks${trouble.name ? ` of provider ${trouble.name}` : ''}: ${trouble.reason}`
  if (phase === 'running' && !codebases.some(({id}) => id !== null))
    return 'No codebase is served, so no tasks arrive. Run: a2a-worker register PATH'
  if (phase === 'stopped' || phase === 'failed') return 'The worker does not run.'
  return 'No active and no waiting tasks.'
}

function taskRow(task: TaskView, isSelected: boolean, {width, now}: Area): Row {
  const {id, title, phase, since, path, lines, waiting} = task
  const isWide = width >= 100
  return row(
    width,
    selectionMark(isSelected),
    idCell(id),
    column(phase, 10, phaseTones[phase]),
    column(formatDuration(now - since), 9),
    ...(width >= 76 ? [column(`${basename(path).slice(0, 30)} `, 14, 'accent')] : []),
    isWide
      ? column(title, Math.floor((width - 44) * 0.5), isSelected ? 'chosen' : 'plain')
      : cell(title, isSelected ? 'chosen' : 'plain'),
    isWide && waiting !== null
      ? cell(` ${waiting}`, 'warn')
      : cell(isWide ? ` ${lines.items.at(-1) ?? ''}` : '', 'dim'),
  )
}

function waitingRow({id, title, reason, since}: WaitingTask, isSelected: boolean, {width, now}: Area): Row {
  return row(
    width,
    selectionMark(isSelected),
    idCell(id),
    column('waits', 10, 'warn'),
    column(formatDuration(now - since), 9),
    column(title, Math.max(10, Math.floor((width - 30) * 0.45)), isSelected ? 'chosen' : 'plain'),
    cell(` ${reason}`, 'dim'),
  )
}
