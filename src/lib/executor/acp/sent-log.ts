import {appendFileSync, existsSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import * as v from 'valibot'
import {parseJson} from '../../protocol/parse.ts'
import {runFiles} from '../spool/file-names.ts'

/** What a process of an agent was started for. Everything that another worker process needs to go on with it. */
const startSchema = v.object({
  kind: v.picklist(['acp', 'command']),
  /** Name of the agent in tasks. */
  program: v.string(),
  /** Name of the agent's program, for people. */
  name: v.string(),
  cwd: v.string(),
  /** A session to continue. */
  sessionId: v.nullable(v.string()),
  model: v.nullable(v.string()),
  /** Mode of the session; the name of an agent in OpenCode. */
  mode: v.nullable(v.string()),
  /** A model that the agent does not have is replaced by its default. */
  fallsBack: v.boolean(),
  /** What becomes of requests for permission. */
  permissions: v.picklist(['allow', 'ask', 'deny']),
  /** How long a question waits, in ms; 0 means no limit. */
  askMs: v.number(),
  /** Where the output of this process begins: bytes of its messages, and number of events of the run. */
  messagesFrom: v.number(),
  eventsBefore: v.number(),
  /** The same for its stderr, in bytes. */
  stderrFrom: v.number(),
  /** When the task began, Unix ms. */
  startedAt: v.number(),
  /** Counts the processes of the run from 1. */
  process: v.number(),
  /** The folder of the agent's process. It is that of the run, unless the process runs several tasks. */
  agentDir: v.string(),
  /** Of the ids of our requests. */
  prefix: v.string(),
  /** What the agent has announced in a handshake before the task. */
  announced: v.nullable(v.record(v.string(), v.unknown())),
  /** The plugin of OpenCode writes the report; otherwise its worker does. */
  hasReporter: v.boolean(),
})
export type AgentStart = v.InferOutput<typeof startSchema>

const entrySchema = v.union([
  v.object({start: startSchema}),
  v.object({put: v.string(), line: v.string(), input: v.optional(v.string())}),
  v.object({written: v.string()}),
  v.object({asked: v.string(), since: v.number(), until: v.nullable(v.number())}),
  v.object({queued: v.string(), text: v.string(), steers: v.boolean()}),
  v.object({refused: v.string(), reason: v.string()}),
])
type Entry = v.InferOutput<typeof entrySchema>

export type SentLine = {key: string; line: string; input: string | undefined; isWritten: boolean}

/**
 * What a worker has sent to an agent, in the folder of the run. A line is put down before any of it is written to the
 * agent, and marked as written before its line feed, which makes it count. So after a kill at any point the next worker
 * process knows whether the agent has a line, or will have it with one more line feed.
 *
 * The log is not synced to disk: after a power cut the agent is gone too.
 */
export class SentLog {
  readonly start: AgentStart
  readonly lines = new Map<string, SentLine>()
  /** Times of the questions, by their ids. */
  readonly asked = new Map<string, {since: number; until: number | null}>()
  /** Messages of people that wait for the end of a turn, by the ids of their inputs. */
  readonly queued = new Map<string, {text: string; steers: boolean}>()
  /** Inputs that were not given to the agent, and why. */
  readonly refused = new Map<string, string>()
  /** The line that was put down last. It may not be complete. */
  last: SentLine | undefined
  readonly #path: string

  private constructor(path: string, start: AgentStart) {
    this.#path = path
    this.start = start
  }

  /** Begins the log of a new process. */
  static begin(runDir: string, start: AgentStart): SentLog {
    const path = join(runDir, runFiles.sent)
    writeFileSync(path, `${JSON.stringify({start} satisfies Entry)}\n`, {mode: 0o600})
    return new SentLog(path, start)
  }

  /** The log of a process that was started before. Undefined if the run has none. */
  static read(runDir: string): SentLog | undefined {
    const path = join(runDir, runFiles.sent)
    if (!existsSync(path)) return undefined
    const lines = readFileSync(path, 'utf8').split('\n')
    const entries = lines
      .map((line) => v.safeParse(entrySchema, parseJson(line)))
      .flatMap((parsed) => (parsed.success ? [parsed.output] : []))
    const [first, ...rest] = entries
    if (!first || !('start' in first)) return undefined
    const log = new SentLog(path, first.start)
    // A kill may have cut the last entry. What follows must begin on a new line.
    if (lines.at(-1) !== '') appendFileSync(path, '\n')
    for (const entry of rest) log.#apply(entry)
    return log
  }

  add(entry: Exclude<Entry, {start: unknown}>): void {
    appendFileSync(this.#path, `${JSON.stringify(entry)}\n`)
    this.#apply(entry)
  }

  #apply(entry: Entry): void {
    if ('put' in entry) {
      this.last = {key: entry.put, line: entry.line, input: entry.input, isWritten: false}
      this.lines.set(entry.put, this.last)
    } else if ('written' in entry) {
      const line = this.lines.get(entry.written)
      if (line) line.isWritten = true
    } else if ('asked' in entry) this.asked.set(entry.asked, entry)
    else if ('queued' in entry) this.queued.set(entry.queued, entry)
    else if ('refused' in entry) this.refused.set(entry.refused, entry.reason)
  }
}
