import {assertNever} from '../core/errors.ts'
import {type AgentFact, readFact, redactFact} from '../opencode/output/events.ts'
import type {RunRecord} from '../opencode/output/record.ts'
import type {RunObserver} from './executor.ts'
import {readLines} from './spool/read-lines.ts'

export type ReadEventsOptions = {
  path: string
  from: number
  /** Aborted when the agent has exited: nothing more is written. */
  ended: AbortSignal
  record: RunRecord
  observer: RunObserver
  onOutput: () => void
  /** A step of the agent has begun, or ended, at this time (Unix ms; 0 if unknown). */
  onStepStart: (at: number) => void
  onStepEnd: (at: number) => void
}

const maxActivityChars = 200
const maxTextChars = 4000

/** Reads the agent's output while it is written, to its end: adds it to the record and notifies the observer. */
export async function readEvents({
  path,
  from,
  ended,
  record,
  observer,
  onOutput,
  onStepStart,
  onStepEnd,
}: ReadEventsOptions): Promise<undefined> {
  const onLine = (line: string | undefined) => {
    const fact = redactFact(readFact(line), observer.redact)
    const session = record.sessionId
    record.add(fact)
    if (fact.type === 'step-start') onStepStart(fact.at)
    if (fact.type === 'step-finish') onStepEnd(fact.at)
    if (record.sessionId !== null && record.sessionId !== session) observer.onSession(record.sessionId)
    const activity = describe(fact)
    if (activity) observer.onActivity(activity, fullText(fact, activity))
  }
  await readLines({path, from, ended, onLine, onPiece: onOutput})
}

/** A line for people. Empty if the event is of no interest. */
function describe(fact: AgentFact): string {
  switch (fact.type) {
    case 'tool':
      return fact.status === 'error'
        ? shorten(`${fact.tool} failed: ${fact.error}`)
        : shorten(fact.title ? `${fact.tool} ${fact.title}` : fact.tool)
    case 'text':
      return fact.synthetic ? '' : shorten(fact.text)
    case 'error':
      return shorten(`error: ${fact.message || fact.name}`)
    case 'session':
    case 'step-start':
    case 'step-finish':
    case 'other':
      return ''
    default:
      return assertNever(fact)
  }
}

/** The complete text, up to a limit, if the line shows only a part of it. */
function fullText(fact: AgentFact, line: string): string | undefined {
  const text = fact.type === 'text' ? fact.text.trim() : line
  return text === line ? undefined : text.slice(0, maxTextChars)
}

function shorten(text: string): string {
  // The text may have megabytes, so it is sliced first.
  const line = text
    .slice(0, 4 * maxActivityChars)
    .trim()
    .replaceAll(/\s+/g, ' ')
  return line.length > maxActivityChars ? `${line.slice(0, maxActivityChars - 1)}…` : line
}
