import {statSync} from 'node:fs'
import {join} from 'node:path'
import {AcpFold} from '../../acp/fold.ts'
import {readMessage} from '../../acp/message.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import type {StepUsage} from '../../opencode/output/reported-usage.ts'
import {lastLines} from '../../opencode/output/tail.ts'
import type {InputResult, OpenQuestion, TaskInput} from '../../protocol/task-input.ts'
import {runFiles} from '../spool/file-names.ts'
import {readLines} from '../spool/read-lines.ts'
import {readTail} from '../spool/read-tail.ts'
import {openStdin} from './agent-stdin.ts'
import {AgentChannel, ChannelClosed} from './channel.ts'
import {converse} from './converse.ts'
import {createEnrichment} from './enrich.ts'
import {EventFile} from './event-file.ts'
import type {SentLog} from './sent-log.ts'
import {toolReport} from './tool-report.ts'
import {Words} from './words.ts'

/** Callbacks of a conversation. They must not throw and not block. */
export type DriveObserver = {
  /** The complete list of what the agent asks now. Called for each change. */
  onQuestions: (questions: readonly OpenQuestion[]) => void
  onInput: (result: InputResult) => void
  /** The session is open. */
  onSession: (id: string) => void
  onWarning: (text: string) => void
}

export type DriveOptions = {
  runDir: string
  prompt: string
  log: SentLog
  clock: Clock
  observer: DriveObserver
}

/** The conversation with a running agent. */
export type Drive = {
  /** Resolves when the agent has nothing more to do. Never rejects. */
  readonly over: Promise<void>
  /** Where the messages of this run begin, in bytes. */
  readonly messagesFrom: number
  /** What the agent has announced in its handshake. Undefined before that. */
  readonly announced: Record<string, unknown> | undefined
  /** The session, once it is open. */
  readonly sessionId: string | undefined
  /** What the turn that goes on has used, as far as it is known. */
  readonly spent: StepUsage | undefined
  /** Whether its last turn has ended well. */
  readonly hasSucceeded: boolean
  /** Whether a person is asked. */
  readonly isAsking: boolean
  /** Whether people can say something to the agent. */
  readonly takesInputs: boolean
  /** What the agent was asked and has not answered, for people. */
  describe(): string
  give(input: TaskInput): void
  /** Asks the agent to end its turn. Resolves when it has, or after `ms`. */
  cancel(ms: number): Promise<void>
  /** The agent has ended: reads the rest of its messages. Resolves when all events are in the spool. Rejects if they cannot be written. */
  finish(): Promise<void>
}

const touchMs = 500

/** Leads a running agent through its task, or goes on with one of an earlier worker process. */
export function driveAgent({runDir, prompt, log, clock, observer}: DriveOptions): Drive {
  const {start} = log
  const closed = new AbortController()
  const ended = new AbortController()
  const stdin = openStdin(join(start.agentDir, runFiles.stdin), clock)
  const channel = new AgentChannel(log, stdin, closed.signal)
  const words = new Words({
    ...{log, channel, clock},
    onQuestions: observer.onQuestions,
    onInput: observer.onInput,
    onWarning: observer.onWarning,
  })
  const events = new EventFile(join(runDir, runFiles.stdout), start.eventsBefore, clock.now)
  const fold = new AcpFold(start)
  const enrichment = createEnrichment(join(start.agentDir, runFiles.report))
  const report = toolReport(join(start.agentDir, runFiles.report), {isOn: !start.hasReporter, clock})
  const over = Promise.withResolvers<void>()
  const failures: string[] = []
  const noise = lineSample()
  let lastEvent = ''
  let sessionId: string | undefined
  let announced = start.announced ?? undefined
  let touchedAt = -Infinity
  const touch = () => {
    if (clock.monotonic() - touchedAt < touchMs) return
    touchedAt = clock.monotonic()
    report.touch()
  }
  const onLine = (line: string | undefined) => {
    const message = readMessage(line)
    if (message.type === 'noise') noise.push(line ?? '')
    for (const event of fold.add(message)) {
      events.add(enrichment.enrich(event))
      lastEvent = event.type
    }
    channel.receive(message)
    if (message.type === 'request') words.receive(message)
    report.update(fold.openCalls)
  }
  const messages = join(start.agentDir, runFiles.messages)
  const known = Math.max(start.messagesFrom, statSync(messages, {throwIfNoEntry: false})?.size ?? 0)
  /** Inputs wait until what an earlier worker process has seen is read: one may answer a question of it. */
  let waiting: TaskInput[] | undefined = []
  const onRead = (to: number) => {
    if (to < known) return
    const inputs = waiting ?? []
    waiting = undefined
    for (const input of inputs) words.give(input)
  }
  onRead(start.messagesFrom)
  const reading = readLines({
    ...{path: messages, from: start.messagesFrom},
    ...{ended: ended.signal, onLine, onPiece: touch, onRead},
  })
  // Without its events a run is nothing, so a reader that fails ends it. `finish` tells why.
  reading.catch(() => over.resolve())
  void lead()

  async function lead(): Promise<void> {
    try {
      const onAnnounced = (fields: Record<string, unknown>) => (announced = fields)
      const onSession = (id: string) => {
        sessionId = id
        observer.onSession(id)
        words.openSession(id)
      }
      await converse({channel, start, prompt, words, onWarning: observer.onWarning, onAnnounced, onSession})
    } catch (error) {
      if (!(error instanceof ChannelClosed)) failures.push(messageOf(error))
    } finally {
      over.resolve()
    }
  }

  /** The agent has ended, or was ended, before it could begin. */
  function early(unanswered: string[]): string {
    const said = lastLines(readTail(join(start.agentDir, runFiles.stderr), start.stderrFrom))
    const text = `${start.name} ended before it answered ${unanswered.join(', ')}`
    return [text, noise.describe(), said].filter(Boolean).join('; ')
  }

  return {
    over: over.promise,
    messagesFrom: start.messagesFrom,
    get announced() {
      return announced
    },
    get sessionId() {
      return sessionId
    },
    get spent() {
      return sessionId === undefined ? undefined : enrichment.spentSince(sessionId)
    },
    get hasSucceeded() {
      return lastEvent === 'step_finish' && failures.length === 0
    },
    takesInputs: true,
    get isAsking() {
      return words.isAsking
    },
    describe: () => [describe(channel, words), noise.describe()].filter(Boolean).join('; '),
    give: (input) => void (waiting ? waiting.push(input) : words.give(input)),
    async cancel(ms) {
      words.cancel()
      await Promise.race([over.promise, clock.sleep(ms)])
    },
    async finish() {
      const unanswered = channel.unanswered.filter((method) => method !== 'session/prompt')
      closed.abort('the agent has ended')
      words.end()
      ended.abort('the agent has ended')
      try {
        await reading.finally(() => onRead(known))
        for (const event of fold.end()) events.add(enrichment.enrich(event))
        if (unanswered.length > 0) failures.push(early(unanswered))
        for (const message of failures)
          events.add({type: 'error', sessionID: '', error: {name: 'AgentFailure', data: {message}}})
      } finally {
        events[Symbol.dispose]()
        stdin[Symbol.dispose]()
      }
    },
  }
}

/** What is waited for: an answer of the agent, or one of a person. */
function describe(channel: AgentChannel, words: Words): string {
  const {questions} = words
  if (questions.length > 0) return `it asks: ${questions.map(({title}) => title).join('; ')}`
  const methods = channel.unanswered
  return methods.length > 0 ? `the agent has not answered ${methods.join(', ')}` : ''
}

const maxSampleChars = 200

/** Counts the lines that are no messages, and keeps the first. */
function lineSample() {
  let [count, first] = [0, '']
  return {
    push(line: string) {
      if (line.trim() === '') return
      count += 1
      if (count === 1) first = line.trim().slice(0, maxSampleChars)
    },
    describe: () =>
      count === 0 ? '' : `it printed lines that are no messages of the protocol (${count}), the first: ${first}`,
  }
}
