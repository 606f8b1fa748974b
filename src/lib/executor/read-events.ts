import {assertNever} from '../core/errors.ts'
import {type AgentFact, readFact} from '../opencode/output/events.ts'
import {lineSplitter} from '../opencode/output/line-splitter.ts'
import type {RunRecord} from '../opencode/output/record.ts'
import type {RunObserver} from './executor.ts'
import {follow} from './follow.ts'

export type ReadEventsOptions = {
  path: string
  from: number
  /** The agent has gone: nothing more will be written. */
  ended: AbortSignal
  record: RunRecord
  observer: RunObserver
  onOutput: () => void
}

const pieceBytes = 64 * 1024
const longestActivity = 200
const longestText = 4000

/** Reads the agent's output as it is written, to its end, into the record, and tells the observer of it. */
export async function readEvents({
  path,
  from,
  ended,
  record,
  observer,
  onOutput,
}: ReadEventsOptions): Promise<undefined> {
  const lines = lineSplitter((line) => {
    const fact = readFact(line)
    const session = record.sessionId
    record.add(fact)
    if (record.sessionId !== null && record.sessionId !== session) observer.session(record.sessionId)
    const activity = describe(fact)
    if (activity) observer.activity(activity, wholeText(fact, activity))
  })
  const never = new AbortController().signal
  for await (const {bytes} of follow({path, from, maxBytes: pieceBytes, ended, signal: never})) {
    onOutput()
    lines.push(bytes)
  }

  lines.end()
}

/** One line for people; empty for what is of no interest to them. */
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

/** A text as it was said, where the line does not say it all; of one that is too long the beginning. */
function wholeText(fact: AgentFact, line: string): string | undefined {
  const text = fact.type === 'text' ? fact.text.trim() : line
  return text === line ? undefined : text.slice(0, longestText)
}

function shorten(text: string): string {
  // A slice first: the text may be megabytes long.
  const line = text
    .slice(0, 4 * longestActivity)
    .trim()
    .replaceAll(/\s+/g, ' ')
  return line.length > longestActivity ? `${line.slice(0, longestActivity - 1)}…` : line
}
