import {parseTime} from '../../core/clock.ts'
import {fittedTable, type Column, type Screen} from './fitted-table.ts'
import {shortIds} from './short-ids.ts'
import {age} from '../../core/text/times.ts'
import {plainLine} from '../../core/text/plain-line.ts'
import {table} from './table.ts'

export type ShownSession = {
  id: string
  title: string
  updated: string | null
  messageCount: number | null
  directory: string | null
}

const columns: readonly Column[] = [
  {heading: 'ID'},
  {heading: 'TITLE', min: 16},
  {heading: 'UPDATED'},
  {heading: 'MESSAGES', omit: 1},
  {heading: 'DIRECTORY', min: 12, keepsEnd: true, omit: 2},
]

/** Sessions as a table. On a terminal with short ids. `now` is in ms. */
export function sessionTable(sessions: readonly ShownSession[], now: number, screen: Screen): string {
  if (sessions.length === 0) return 'No sessions.'
  const shorten = screen.width === undefined ? (id: string) => id : shortIds(sessions.map(({id}) => id))
  const rows = sessions.map(({id, title, updated, messageCount, directory}) => [
    shorten(id),
    plainLine(title, 50),
    age(parseTime(updated), now),
    messageCount === null ? '?' : String(messageCount),
    plainLine(directory ?? '-', 200),
  ])
  return fittedTable(columns, rows, screen)
}

type Synced = {directory: string; sessions: number; changed: number; removed: number; messages: number}

/** The result of a session sync as a table. */
export function syncTable(codebases: readonly Synced[]): string {
  const rows = codebases.map(({directory, sessions, changed, removed, messages}) => [
    ...[sessions, changed, removed, messages].map(String),
    plainLine(directory, 200),
  ])
  return table(rows, ['SESSIONS', 'CHANGED', 'REMOVED', 'MESSAGES SENT', 'CODEBASE'])
}
