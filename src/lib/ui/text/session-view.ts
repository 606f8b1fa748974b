import {parseTime} from '../../core/clock.ts'
import {age, plainLine, table} from './table.ts'

export type ShownSession = {
  id: string
  title: string
  updated: string | null
  messageCount: number | null
  directory: string | null
}

/** Sessions as a table. `now` is in ms. */
export function sessionTable(sessions: readonly ShownSession[], now: number): string {
  const rows = sessions.map(({id, title, updated, messageCount, directory}) => [
    id,
    plainLine(title, 50),
    age(parseTime(updated), now),
    messageCount === null ? '?' : String(messageCount),
    plainLine(directory ?? '-', 200),
  ])
  return rows.length === 0 ? 'No sessions.' : table(rows, ['ID', 'TITLE', 'UPDATED', 'MESSAGES', 'DIRECTORY'])
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
