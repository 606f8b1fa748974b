import type {FinalStatus} from '../../protocol/statuses.ts'
import {cell, column, emptyRow, row, type Area, type Row, type Tone} from './cells.ts'
import {selectedRow, shownTask, type Screen} from './screen.ts'
import {idCell, selectionMark, taskList} from './task-list.ts'
import {timeOfDay, formatElapsed} from '../../core/text/times.ts'
import type {EndedTask, View} from '../view/view.ts'

const tones: Record<FinalStatus, Tone> = {completed: 'good', failed: 'bad', cancelled: 'warn'}

/** Ended tasks, newest first, and below them the details of the selected one. */
export function historyPane(view: View, screen: Screen, area: Area): Row[] {
  if (view.ended.length === 0) return [emptyRow, row(area.width, cell('  No task has ended yet.', 'dim'))]
  const selected = selectedRow(view, screen)
  const rows = view.ended.map((task, i) => endedRow(task, i === selected, area.width))
  return taskList({rows, selected, task: shownTask(view, screen)}, area)
}

function endedRow(
  {id, title, status, ms, cost, error, refusal, at}: EndedTask,
  isSelected: boolean,
  width: number,
): Row {
  return row(
    width,
    selectionMark(isSelected),
    cell(`${timeOfDay(at)} `, 'dim'),
    idCell(id),
    column(status, 10, tones[status]),
    column(formatElapsed(ms), 8),
    ...(width >= 76 ? [column(cost > 0 ? `$${cost.toFixed(4)}` : '', 9, 'dim')] : []),
    cell(title, isSelected ? 'chosen' : 'plain'),
    cell(refusal === null ? '' : ` refused by the server: ${refusal}`, 'bad'),
    cell(error === null ? '' : ` ${error}`, 'dim'),
  )
}
