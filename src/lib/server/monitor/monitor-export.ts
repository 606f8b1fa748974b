import type {MonitorMessage} from '../../protocol/monitor-schemas.ts'

/** Messages per piece. The event loop gets a turn after each piece. */
const batch = 200
const columns = [
  'id',
  'timestamp',
  'type',
  'agent_name',
  'content',
  'response_time',
  'tokens',
  'error',
  'metadata',
] as const

/** The log as one JSON array, in pieces. */
export function* toJson(messages: readonly MonitorMessage[]): Generator<string> {
  yield '['
  for (let at = 0; at < messages.length; at += batch) {
    const piece = messages.slice(at, at + batch).map((message) => JSON.stringify(message))
    yield (at > 0 ? ',' : '') + piece.join(',')
  }

  yield ']'
}

/** The log as CSV (RFC 4180), in pieces. */
export function* toCsv(messages: readonly MonitorMessage[]): Generator<string> {
  yield row(columns)
  for (let at = 0; at < messages.length; at += batch)
    yield messages
      .slice(at, at + batch)
      .map((message) => row(columns.map((column) => message[column])))
      .join('')
}

const row = (values: readonly unknown[]) => `${values.map(cell).join(',')}\r\n`

function cell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number') return String(value)
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return `"${escapeFormula(text).replaceAll('"', '""')}"`
}

/** A spreadsheet runs a text that begins like this as a formula (OWASP, CSV injection). */
const formula = /^\s*[=+\-@＝＋－＠]|^[\t\r\n]/

const escapeFormula = (text: string) => (formula.test(text) ? `'${text}` : text)
