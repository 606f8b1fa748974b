import {isoTime} from '../core/clock.ts'
import {logLevels, logLine, type LogLevel, type LogLine} from './log-line.ts'
import type {WorkerEvent} from './worker-event.ts'

export type LogOptions = {
  /** `journal`: for systemd's journal, which notes the time itself and reads the priority from the line. */
  format: 'text' | 'json' | 'journal'
  /** Looked up for each event: it may change. */
  readonly level: LogLevel
  /** Gets each line, its newline included. */
  write: (text: string) => void
}

type Reporter = (event: WorkerEvent) => void

/** Turns events into log lines: for people, for systemd's journal, or one JSON object each. */
export async function logReporter(options: LogOptions): Promise<Reporter> {
  const {format, write} = options
  const put = format === 'json' ? await jsonWriter(write) : format === 'text' ? textWriter(write) : journalWriter(write)
  return (event) => {
    const line = logLine(event)
    if (logLevels.indexOf(line.level) >= logLevels.indexOf(options.level)) put(line, event)
  }
}

type Writer = (line: LogLine, event: WorkerEvent) => void

const textWriter =
  (write: LogOptions['write']): Writer =>
  (line, {at}) =>
    write(`${isoTime(at)} ${line.level.toUpperCase().padEnd(5)} ${about(line)}\n`)

/** Priorities of syslog (sd-daemon(3)), by which `journalctl -p` picks. */
const priorities: Record<LogLevel, number> = {debug: 7, info: 6, warn: 4, error: 3}

const journalWriter =
  (write: LogOptions['write']): Writer =>
  (line) =>
    write(`<${priorities[line.level]}>${about(line)}\n`)

/** The event itself goes along, so that what a line says in words is there as fields. */
async function jsonWriter(write: LogOptions['write']): Promise<Writer> {
  const {pino} = await import('pino')
  const logger = pino(
    {base: null, level: 'trace', timestamp: false, formatters: {level: (label) => ({level: label})}},
    {write},
  )
  return (line, event) => {
    // A notice has its own level and text, which are the line's already; what an agent says at length is for watchers.
    const {at, level: _level, text: _text, ...fields} = event as WorkerEvent & {level?: string; text?: string}
    logger[line.level]({time: isoTime(at), ...fields}, line.text)
  }
}

/** The task stands at the front of each of its lines, whole, so that a search for it finds them. */
const about = ({text, taskId}: LogLine) => `${taskId ? `[${taskId}] ` : ''}${plain(text)}`

/** One line, without control characters: what an agent prints must not forge log lines or move the cursor. */
// oxlint-disable-next-line no-control-regex -- control characters are the point
const plain = (text: string) => text.replaceAll(/\s*\r?\n\s*/g, ' ⏎ ').replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
