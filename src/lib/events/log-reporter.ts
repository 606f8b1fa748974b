import {isoTime} from '../core/clock.ts'
import {logLevels, logLine, type LogLevel} from './log-line.ts'
import type {WorkerEvent} from './worker-event.ts'

export type LogOptions = {
  format: 'text' | 'json'
  level: LogLevel
  /** Gets each line, its newline included. */
  write: (text: string) => void
}

/** Turns events into log lines: for people, or one JSON object each. */
export function logReporter({format, level, write}: LogOptions): (event: WorkerEvent) => void {
  const least = logLevels.indexOf(level)
  return (event) => {
    const line = logLine(event)
    if (logLevels.indexOf(line.level) < least) return
    const time = isoTime(event.at)
    if (format === 'json') {
      // What an agent says at length is for those who watch it; the log has its first line.
      const fields = event.type === 'task.activity' ? {...event, text: undefined} : event
      write(`${JSON.stringify({time, level: line.level, msg: line.text, ...fields})}\n`)
    } else
      write(
        `${time} ${line.level.toUpperCase().padEnd(5)} ${line.taskId ? `[${line.taskId.slice(0, 8)}] ` : ''}${plain(line.text)}\n`,
      )
  }
}

/** One line, without control characters: what an agent prints must not forge log lines or move the cursor. */
// oxlint-disable-next-line no-control-regex -- control characters are the point
const plain = (text: string) => text.replaceAll(/\s*\r?\n\s*/g, ' ⏎ ').replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
