import type {ProviderWait} from './agent-report.ts'
import {withoutEscapes} from '../../core/text/escapes.ts'

/** What identifies the lines of one process in a log that several write. */
export type LogOwner = {
  directory: string
  title: string
  /** When the process started, Unix ms. */
  startedAt: number
}

const maxTail = 4
const maxLineChars = 300
/** The clock of a start and the clock of the log may differ by this much. */
const inexactMs = 1000
/** Lines that show work. Others repeat in the background of an agent that hangs. */
const workPattern =
  /session\.?id=|sessionID=|message=(?:tracking|evaluated|created) |service=(?:session|llm|permission|snapshot|tool)/i
const refusalPattern = /level=ERROR .*message="stream error"|^ERROR .*stream error/
const requestPattern = /message=stream |service=llm .*stream$/

/** Reads the log of OpenCode 1.x. Since 1.18 one file serves all its processes, and each line names its process (`run=`). */
export class OpenCodeLog {
  readonly #owner: LogOwner
  readonly #isShared: boolean
  #run: string | undefined
  /** Processes that wrote before ours started. One may have the same directory and title: the task before. */
  readonly #others = new Set<string>()
  #certainty = 0
  #sessionId: string | undefined
  #tail: string[] = []
  #wait: ProviderWait | undefined
  /** When the first of successive refusals came. */
  #refusedSince: number | undefined
  /** Number of lines that show work. */
  works = 0

  constructor(owner: LogOwner, {isShared}: {isShared: boolean}) {
    this.#owner = owner
    this.#isShared = isShared
  }

  set sessionId(id: string | null | undefined) {
    this.#sessionId = id ?? undefined
  }

  add(text: string): void {
    const line = withoutEscapes(text).trim()
    if (line === '' || !this.#isOwn(line)) return
    this.#tail = [...this.#tail, shorten(line)].slice(-maxTail)
    if (!workPattern.test(line)) return
    this.works += 1
    if (refusalPattern.test(line)) return this.#refuse(line)
    this.#wait = undefined
    // A request that is repeated proves nothing. Work that follows shows that it succeeded.
    if (!requestPattern.test(line)) this.#refusedSince = undefined
  }

  /** The last lines of this process. */
  get tail(): string {
    return this.#tail.join('\n')
  }

  /** The refusal that OpenCode waits out now. The log does not say for how long. */
  get wait(): ProviderWait | undefined {
    return this.#wait
  }

  #refuse(line: string): void {
    this.#refusedSince ??= timeOf(line) ?? Date.now()
    const provider = /providerID=([\w.@/-]+)/.exec(line)?.[1] ?? null
    this.#wait = {provider, message: wordsOf(line), since: this.#refusedSince, until: undefined}
  }

  /** Finds the number of our process: by its directory, surer by the title too, and surest by its session. */
  #isOwn(line: string): boolean {
    if (!this.#isShared) return true
    const run = /\brun=(\w+)/.exec(line)?.[1]
    if (run === undefined) return false
    if ((timeOf(line) ?? 0) < this.#owner.startedAt - inexactMs) this.#others.add(run)
    if (this.#others.has(run)) return false
    const certainty = this.#certaintyOf(line)
    if (certainty > this.#certainty && run !== this.#run) {
      this.#run = run
      this.#tail = []
      this.#wait = undefined
      this.#refusedSince = undefined
    }
    this.#certainty = Math.max(this.#certainty, certainty)
    return run === this.#run
  }

  #certaintyOf(line: string): number {
    const {directory, title} = this.#owner
    if (this.#sessionId !== undefined && line.includes(this.#sessionId)) return 3
    if (!line.includes(` directory=${logValue(directory)}`)) return 0
    return line.includes(` title=${logValue(title)}`) ? 2 : 1
  }
}

const logValue = (text: string) => (/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text))

const timeOf = (line: string): number | undefined => {
  const at = Date.parse(/^timestamp=(\S+)/.exec(line)?.[1] ?? '')
  return Number.isNaN(at) ? undefined : at
}

/** The provider's words: `error.error="AI_APICallError: …"`, in older versions JSON with a `message`. */
function wordsOf(line: string): string {
  const quoted = /error\.error=("(?:[^"\\]|\\.)*"|\S+)/.exec(line)?.[1]
  const older = /"message":("(?:[^"\\]|\\.)*")/.exec(line)?.[1]
  const text = unquote(quoted ?? older ?? '')
  return text.replace(/^(?:\w*Error: )+/, '') || 'the provider refused the request'
}

function unquote(text: string): string {
  try {
    return text.startsWith('"') ? String(JSON.parse(text)) : text
  } catch {
    return text
  }
}

const shorten = (line: string) => (line.length > maxLineChars ? `${line.slice(0, maxLineChars - 1)}…` : line)
