import {logLine} from './log-line.ts'
import {logWriter, type LogOptions} from './log-writer.ts'
import type {WorkerEvent} from './worker-event.ts'

/** Writes events as log lines. A JSON line contains the fields of the event beside the text. */
export async function logReporter(options: LogOptions): Promise<(event: WorkerEvent) => void> {
  const put = await logWriter(options)
  return (event) => {
    // Level and text of a notice are in the line already. The full text of an agent's message is for watchers only.
    const {at, level: _level, text: _text, ...fields} = event as WorkerEvent & {level?: string; text?: string}
    put(logLine(event), at, fields)
  }
}
