import {fstatSync} from 'node:fs'
import {isoTime} from '../core/clock.ts'
import {escapeHidden, showHidden} from '../core/text/hidden-characters.ts'
import {logLevels, type LogLevel, type LogLine} from './log-line.ts'

export type LogOptions = {
  /** `journal`: for systemd's journal, which adds the time and reads the priority from the line. */
  format: 'text' | 'json' | 'journal'
  /** Read for each line, because it may change. */
  readonly level: LogLevel
  /** Called with each line, including its newline. */
  write: (text: string) => void
}

/** Writes a log line of a moment (ms). `fields` are added to JSON lines. */
export type LogWriter = (line: LogLine, at: number, fields?: Record<string, unknown>) => void

/** Writes log lines from a level on: text for people, for systemd's journal, or JSON. */
export async function logWriter(options: LogOptions): Promise<LogWriter> {
  const {format, write} = options
  const put = format === 'json' ? await jsonWriter(write) : format === 'text' ? textWriter(write) : journalWriter(write)
  return (line, at, fields) => {
    if (logLevels.indexOf(line.level) >= logLevels.indexOf(options.level)) put(line, at, fields)
  }
}

/** Text becomes the form of systemd's journal if stderr is the journal: JOURNAL_STREAM holds its device and inode (sd_journal(3)). */
export function logFormat(format: 'text' | 'json', env: Record<string, string | undefined>): LogOptions['format'] {
  if (format === 'json') return 'json'
  const {dev, ino} = fstatSync(process.stderr.fd)
  return env['JOURNAL_STREAM'] === `${dev}:${ino}` ? 'journal' : 'text'
}

const textWriter =
  (write: LogOptions['write']): LogWriter =>
  (line, at) =>
    write(`${isoTime(at)} ${line.level.toUpperCase().padEnd(5)} ${prefixed(line)}\n`)

/** Priorities of syslog (sd-daemon(3)), for `journalctl -p`. */
const priorities: Record<LogLevel, number> = {debug: 7, info: 6, warn: 4, error: 3}

const journalWriter =
  (write: LogOptions['write']): LogWriter =>
  (line) =>
    write(`<${priorities[line.level]}>${prefixed(line)}\n`)

async function jsonWriter(write: LogOptions['write']): Promise<LogWriter> {
  const {pino} = await import('pino')
  const logger = pino(
    {base: null, level: 'trace', timestamp: false, formatters: {level: (label) => ({level: label})}},
    {write: (json: string) => write(escapeHidden(json))},
  )
  return (line, at, fields) => logger[line.level]({time: isoTime(at), ...fields}, line.text)
}

/** Each line of a task begins with the complete task id, so that a search finds it. */
const prefixed = ({text, taskId}: LogLine) => `${taskId ? `[${taskId}] ` : ''}${plain(text)}`

/** One line with hidden characters as codes. Output of an agent must not forge log lines or move the cursor. */
const plain = (text: string) => showHidden(text.replaceAll(/\s*\r?\n\s*/g, ' ⏎ ').replaceAll('\t', ' '))
