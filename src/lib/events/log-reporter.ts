import {isoTime} from '../core/clock.ts'
import {logLevels, logLine, type LogLevel, type LogLine} from './log-line.ts'
import type {WorkerEvent} from './worker-event.ts'

export type LogOptions = {
  /** `journal`: for systemd's journal, which adds the time and reads the priority from the line. */
  format: 'text' | 'json' | 'journal'
  /** Read for each event, because it may change. */
  readonly level: LogLevel
  /** Called with each line, including its newline. */
  write: (text: string) => void
}

type Reporter = (event: WorkerEvent) => void

/** Writes events as log lines: text for people, for systemd's journal, or JSON. */
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
    write(`${isoTime(at)} ${line.level.toUpperCase().padEnd(5)} ${prefixed(line)}\n`)

/** Priorities of syslog (sd-daemon(3)), for `journalctl -p`. */
const priorities: Record<LogLevel, number> = {debug: 7, info: 6, warn: 4, error: 3}

const journalWriter =
  (write: LogOptions['write']): Writer =>
  (line) =>
    write(`<${priorities[line.level]}>${prefixed(line)}\n`)

/** A JSON line contains the fields of the event beside the text. */
async function jsonWriter(write: LogOptions['write']): Promise<Writer> {
  const {pino} = await import('pino')
  const logger = pino(
    {base: null, level: 'trace', timestamp: false, formatters: {level: (label) => ({level: label})}},
    {write},
  )
  return (line, event) => {
    // Level and text of a notice are in the line already. The full text of an agent's message is for watchers only.
    const {at, level: _level, text: _text, ...fields} = event as WorkerEvent & {level?: string; text?: string}
    logger[line.level]({time: isoTime(at), ...fields}, line.text)
  }
}

/** Each line of a task begins with the complete task id, so that a search finds it. */
const prefixed = ({text, taskId}: LogLine) => `${taskId ? `[${taskId}] ` : ''}${plain(text)}`

/** Returns one line without control characters. Output of an agent must not forge log lines or move the cursor. */
// oxlint-disable-next-line no-control-regex -- control characters are the point
const plain = (text: string) => text.replaceAll(/\s*\r?\n\s*/g, ' ⏎ ').replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
