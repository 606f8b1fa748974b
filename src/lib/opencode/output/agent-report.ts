import * as v from 'valibot'
import {parseJson} from '../../protocol/parse.ts'

/** A line of the report that the plugin writes (`opencode/program/reporter.ts`). `at` is in Unix ms. */
const lineSchema = v.variant('type', [
  /** `tellsWaits`: whether waits for the provider are reported. */
  v.object({type: v.literal('started'), at: v.number(), tellsWaits: v.optional(v.boolean(), true)}),
  v.object({
    type: v.literal('tool'),
    at: v.number(),
    session: v.string(),
    call: v.string(),
    tool: v.string(),
    /** What it does: a command, a path, … Empty until its input is complete. */
    title: v.optional(v.string(), ''),
    isOpen: v.boolean(),
  }),
  v.object({
    type: v.literal('permission'),
    at: v.number(),
    session: v.string(),
    id: v.string(),
    what: v.optional(v.string(), ''),
    isOpen: v.boolean(),
  }),
  v.object({type: v.literal('idle'), at: v.number(), session: v.string()}),
  v.object({type: v.literal('busy'), at: v.number(), session: v.string()}),
  v.object({
    type: v.literal('retry'),
    at: v.number(),
    session: v.string(),
    provider: v.optional(v.string()),
    attempt: v.optional(v.number(), 1),
    message: v.optional(v.string(), ''),
    next: v.number(),
  }),
])

/** The provider has refused a request, and OpenCode waits before it sends it again. Times in Unix ms. */
export type ProviderWait = {
  provider: string | null
  message: string
  /** The first refusal of this series. */
  since: number
  /** When OpenCode tries again. Undefined if unknown. */
  until: number | undefined
}

type OpenCall = {session: string; tool: string; title: string; since: number}

/** A tool whose call is open while another session works. */
const subagent = 'task'
const maxMessageChars = 2000

/** The state of an agent by its own report. */
export class AgentReport {
  /** Whether the plugin was loaded. Otherwise nothing is known. */
  isPresent = false
  /** Whether it would report that the agent waits for its provider. */
  tellsWaits = false
  /** When the model was asked last, or a tool call ended last. Undefined before the first request. In Unix ms. */
  busySince: number | undefined
  readonly #calls = new Map<string, OpenCall>()
  /** The open requests for permission, by their ids. */
  readonly #asked = new Map<string, {session: string; what: string}>()
  readonly #waits = new Map<string, ProviderWait>()
  readonly #series = new Map<string, number>()

  add(line: string): void {
    const parsed = v.safeParse(lineSchema, parseJson(line))
    if (!parsed.success) return
    const fact = parsed.output
    switch (fact.type) {
      case 'started': // calls of an earlier process of the run are over
        this.isPresent = true
        this.tellsWaits = fact.tellsWaits
        this.busySince = undefined
        this.#calls.clear()
        this.#waits.clear()
        this.#asked.clear()
        break
      case 'permission':
        if (fact.isOpen) this.#asked.set(fact.id, fact)
        else this.#asked.delete(fact.id)
        break
      case 'tool':
        this.busySince = fact.at
        if (!fact.isOpen) this.#calls.delete(fact.call)
        else this.#open(fact)
        break
      case 'retry': {
        if (fact.attempt <= 1) this.#series.set(fact.session, fact.at)
        const since = this.#series.get(fact.session) ?? fact.at
        const message = fact.message.slice(0, maxMessageChars)
        this.#waits.set(fact.session, {provider: fact.provider ?? null, message, since, until: fact.next})
        break
      }
      case 'busy':
        this.busySince ??= fact.at
        this.#waits.delete(fact.session)
        break
      case 'idle':
        this.#waits.delete(fact.session)
        for (const map of [this.#calls, this.#asked])
          for (const [id, {session}] of map) if (session === fact.session) map.delete(id)
        break
    }
  }

  /** The longest wait for the provider, of the session or of its subagents. */
  get wait(): ProviderWait | undefined {
    return [...this.#waits.values()].sort((a, b) => (b.until ?? 0) - (a.until ?? 0))[0]
  }

  /** What another session asks for, which is one of a subagent. Undefined: nothing. */
  askedBeside(sessionId: string): string | undefined {
    return [...this.#asked.values()].find(({session}) => session !== sessionId)?.what
  }

  #open({
    call,
    session,
    tool,
    title,
    at,
  }: {
    call: string
    session: string
    tool: string
    title: string
    at: number
  }): void {
    const {since = at} = this.#calls.get(call) ?? {}
    this.#calls.set(call, {session, tool, title, since})
  }

  /** The open call that began last. A subagent's own calls begin after the call that started it. */
  get newestTool(): {tool: string; title: string; since: number} | undefined {
    return [...this.#calls.values()].at(-1)
  }

  /** The names of the tools whose calls are open. */
  get openTools(): string[] {
    return [...this.#calls.values()].map(({tool}) => tool)
  }

  /**
   * When the oldest open call began that works by processes. Undefined if there is none. A subagent works by its own
   * calls.
   */
  get processesSince(): number | undefined {
    const starts = [...this.#calls.values()].filter(({tool}) => tool !== subagent).map(({since}) => since)
    return starts.length > 0 ? Math.min(...starts) : undefined
  }
}
