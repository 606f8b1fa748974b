import * as v from 'valibot'
import {isoTime} from '../core/clock.ts'
import {maybeNumber, maybeText, type AgentMessage, type AgentSession} from '../opencode/storage/agent-session.ts'
import {limits} from '../protocol/limits.ts'
import {parseJson} from '../protocol/parse.ts'

/** Blanks out of a text what must not leave the machine. */
export type Redact = (text: string) => string

/** What a Date can hold. */
const mostMs = 8.64e15
const toIso = (ms: number | null) => (ms === null || Math.abs(ms) > mostMs ? null : isoTime(ms))

/** A session as a sync carries it. */
export const wireSession = (session: AgentSession) => ({
  id: session.id,
  title: session.title || 'Untitled',
  created: toIso(session.created),
  updated: toIso(session.updated),
  messageCount: session.messages,
  directory: session.directory,
  project_id: session.projectId,
  version: session.version,
  summary: session.summary,
})
export type WireSession = ReturnType<typeof wireSession>

const anything = v.fallback(v.unknown(), null)
const modelSchema = v.object({providerID: v.string(), modelID: v.string()})

const infoSchema = v.object({
  role: maybeText,
  time: v.fallback(v.object({created: maybeNumber, completed: maybeNumber}), {created: null, completed: null}),
  agent: maybeText,
  mode: maybeText,
  model: anything,
  providerID: anything,
  modelID: anything,
  cost: maybeNumber,
  tokens: anything,
  tool_calls: v.fallback(v.array(v.unknown()), []),
})

/** What a part carries of what OpenCode has of it, and what of that may hold texts of any kind. */
const partKeys = ['type', 'text', 'tool', 'state', 'reason', 'callID', 'cost', 'tokens'] as const
const free = new Set<string>(['text', 'state', 'reason'])

/** Longer texts of a message that is too long as a whole are cut. */
const longestText = 16 * 1024
/** What the server adds to a message. */
const spare = 4096

/** The JSON of a message as a sync carries it; undefined for what is no message. */
export function wireMessage(sessionId: string, message: AgentMessage, redact: Redact): string | undefined {
  const parsed = v.safeParse(infoSchema, parseJson(message.info))
  if (!parsed.success || parsed.output.role === null) return undefined
  const {role, time, agent, mode, cost, tokens, tool_calls: calls} = parsed.output
  const head = {
    id: message.id,
    sessionID: sessionId,
    role,
    time: {created: toIso(time.created), ...(time.completed === null ? {} : {completed: toIso(time.completed)})},
    agent: agent ?? mode,
    model: modelOf(parsed.output),
    cost,
    tokens,
  }
  const whole = (map: Redact) =>
    JSON.stringify({...head, tool_calls: mapTexts(calls, map), parts: message.parts.map((part) => wirePart(part, map))})
  try {
    const json = whole(redact)
    if (fits(json)) return json
    const cut = whole((text) => shorten(redact(text)))
    if (fits(cut)) return cut
  } catch (error) {
    if (!(error instanceof RangeError)) throw error // nested so deep that it cannot be walked through
  }

  return JSON.stringify({...head, tool_calls: [], parts: [], truncated: true})
}

const fits = (json: string) => Buffer.byteLength(json) <= limits.message - spare

function wirePart({id, data}: AgentMessage['parts'][number], map: Redact): Record<string, unknown> {
  const part = parseJson(data)
  const fields = typeof part === 'object' && part !== null ? (part as Record<string, unknown>) : {}
  const kept = partKeys.filter((key) => key in fields)
  return {id, ...Object.fromEntries(kept.map((key) => [key, free.has(key) ? mapTexts(fields[key], map) : fields[key]]))}
}

/** `provider/model`: a user's message has it as an object, or a text, an assistant's at the top. */
function modelOf({model, providerID, modelID}: v.InferOutput<typeof infoSchema>): string | null {
  if (typeof model === 'string') return model
  const parsed = v.safeParse(modelSchema, typeof model === 'object' && model !== null ? model : {providerID, modelID})
  return parsed.success ? `${parsed.output.providerID}/${parsed.output.modelID}` : null
}

function shorten(text: string): string {
  if (text.length <= longestText) return text
  return `${text.slice(0, longestText).replace(/[\uD800-\uDBFF]$/, '')}\n[… ${text.length - longestText} characters are left out]`
}

/** The same value with each text in it, names of fields excepted, put through `map`. */
function mapTexts(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value)
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, map))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, map)]))
}
