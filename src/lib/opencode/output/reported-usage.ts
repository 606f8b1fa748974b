import * as v from 'valibot'
import {parseJson} from '../../protocol/parse.ts'

const count = v.optional(v.pipe(v.number(), v.minValue(0)), 0)

/** Lines of the report that the plugin writes (`opencode/program/reporter.ts`). */
const lineSchema = v.variant('type', [
  v.object({
    type: v.literal('step'),
    session: v.string(),
    tokens: v.object({
      input: count,
      output: count,
      reasoning: count,
      cache: v.optional(v.object({read: count, write: count}), {read: 0, write: 0}),
    }),
    cost: count,
  }),
  v.object({
    type: v.literal('error'),
    session: v.string(),
    name: v.optional(v.string(), ''),
    status: v.optional(v.number()),
  }),
])

export type StepUsage = {
  tokens: {input: number; output: number; reasoning: number; cache: {read: number; write: number}}
  cost: number
  steps: number
}

/** What the plugin of OpenCode has reported of a session: the usage of its steps, and its last error. */
export class ReportedUsage {
  readonly #steps = new Map<string, StepUsage>()
  readonly #statuses = new Map<string, number>()

  add(line: string): void {
    const parsed = v.safeParse(lineSchema, parseJson(line))
    if (!parsed.success) return
    const fact = parsed.output
    if (fact.type === 'step') this.#steps.set(fact.session, sum(this.#steps.get(fact.session), {...fact, steps: 1}))
    else if (fact.status !== undefined) this.#statuses.set(fact.session, fact.status)
  }

  /** The steps since the last call. Undefined if no step of the session was ever reported. */
  take(session: string): StepUsage | undefined {
    const usage = this.#steps.get(session)
    if (usage) this.#steps.set(session, nothing)
    return usage
  }

  /** The steps that were not taken. */
  peek(session: string): StepUsage | undefined {
    return this.#steps.get(session)
  }

  /** The HTTP status with which the provider refused the last request. */
  statusOf(session: string): number | undefined {
    return this.#statuses.get(session)
  }
}

const nothing: StepUsage = {tokens: {input: 0, output: 0, reasoning: 0, cache: {read: 0, write: 0}}, cost: 0, steps: 0}

const sum = (before: StepUsage | undefined, {tokens, cost, steps}: StepUsage): StepUsage =>
  before
    ? {
        tokens: {
          input: before.tokens.input + tokens.input,
          output: before.tokens.output + tokens.output,
          reasoning: before.tokens.reasoning + tokens.reasoning,
          cache: {
            read: before.tokens.cache.read + tokens.cache.read,
            write: before.tokens.cache.write + tokens.cache.write,
          },
        },
        cost: before.cost + cost,
        steps: before.steps + steps,
      }
    : {tokens, cost, steps}
