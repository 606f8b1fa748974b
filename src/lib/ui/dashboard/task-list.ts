import {cell, column, type Area, type Cell, type Row} from './cells.ts'
import {outputRows} from './pane-output.ts'
import type {AnyTask} from '../view/view.ts'

/** Minimum height at which the selected task is shown below the list. */
const minHeightForDetails = 9
/** Share of the height reserved for it. */
const detailsShare = 0.45

export type TaskList = {
  rows: readonly Row[]
  /** Which of the rows is selected. */
  selected: number
  task: AnyTask | undefined
}

/** A list scrolled to the selected row. If there is room, the selected task's output is shown below. */
export function taskList({rows, selected, task}: TaskList, area: Area): Row[] {
  const details = area.height >= minHeightForDetails ? Math.floor(area.height * detailsShare) : 0
  const list = windowAround(rows, selected, Math.min(rows.length, area.height - details))
  if (details === 0) return list
  return [...list, ...outputRows(task, undefined, {...area, height: area.height - list.length})]
}

function windowAround(rows: readonly Row[], selected: number, height: number): Row[] {
  const from = Math.max(0, Math.min(rows.length - height, selected - Math.floor(height / 2)))
  return rows.slice(from, from + height)
}

/** The first cell of a selectable row. */
export const selectionMark = (isSelected: boolean): Cell => (isSelected ? cell('❯ ', 'accent') : cell('  '))

export const idCell = (id: string): Cell => column(id.slice(0, 8), 9, 'dim')
