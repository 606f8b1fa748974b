import type {LogLevel} from '../../events/log-line.ts'
import {cell, column, emptyRow, row, type Area, type Row, type Tone} from './cells.ts'
import {wrap} from '../text/plain-text.ts'
import {scrollable, visibleRows, type ScrollableTail} from './scrolling.ts'
import {timeOfDay} from '../../core/text/times.ts'
import type {LogEntry, View} from '../view/view.ts'

const tones: Record<LogLevel, Tone> = {debug: 'dim', info: 'plain', warn: 'warn', error: 'bad'}

/** The worker's log: the newest lines, or lines from position `first` on. */
export function logPane(view: View, first: number | undefined, area: Area): Row[] {
  if (view.log.items.length === 0) return [emptyRow, row(area.width, cell('  The log is empty.', 'dim'))]
  return visibleRows(scrollableLog(view, area), first)
}

/** The log as a scrollable list. */
export const scrollableLog = ({log}: View, {width, height}: Area): ScrollableTail =>
  scrollable(log, height, (entry) => logRows(entry, width))

const indent = 15

/** The rows of a log line. A long text is wrapped. */
function logRows({at, level, text, taskId}: LogEntry, width: number): Row[] {
  const task = taskId === null ? '' : `[${taskId.slice(0, 8)}] `
  const head = [cell(`${timeOfDay(at)} `, 'dim'), column(level.toUpperCase(), 6, tones[level])]
  return wrap(task + text, width - indent).map((line, i) =>
    row(width, ...(i === 0 ? head : [column('', indent)]), cell(line, tones[level])),
  )
}
