import * as v from 'valibot'
import {isoTime} from '../core/clock.ts'
import {counted} from '../core/text/counted.ts'
import {maybeNumber, maybeText, type AgentMessage, type AgentSession} from '../opencode/storage/agent-session.ts'
import {limits} from '../protocol/limits.ts'
import {parseJson} from '../protocol/parse.ts'

/** Redacts a text. */
export type Redact = (text: string) => string

/** The largest time value of a Date. */
const maxTime = 8.64e15
const toIso = (ms: number | null) => (ms === null || Math.abs(ms) > maxTime ? null : isoTime(ms))

/** A session in the wire format of a sync. */
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

/** The fields of a part that are sent, and those of them that contain free text. */
const partKeys = ['type', 'text', 'tool', 'state', 'reason', 'callID', 'cost', 'tokens'] as const
const freeText = new Set<string>(['text', 'state', 'reason'])

/** Texts are shortened to this length if the message is too long. */
const maxTextChars = 16 * 1024
/** Space for what the control plane adds to a message. */
const reserveBytes = 4096

/** The JSON of a message in the wire format of a sync. Undefined if it is not a message. */
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
  const encode = (map: Redact) =>
    JSON.stringify({...head, tool_calls: mapTexts(calls, map), parts: message.parts.map((part) => wirePart(part, map))})
  try {
    const json = encode(redact)
    if (fits(json)) return json
    const shortened = encode((text) => shorten(redact(text)))
    if (fits(shortened)) return shortened
  } catch (error) {
    if (!(error instanceof RangeError)) throw error // nested too deep to walk through
  }

  return JSON.stringify({...head, tool_calls: [], parts: [], truncated: true})
}

const fits = (json: string) => Buffer.byteLength(json) <= limits.message - reserveBytes

function wirePart({id, data}: AgentMessage['parts'][number], map: Redact): Record<string, unknown> {
  const part = parseJson(data)
  const fields = typeof part === 'object' && part !== null ? (part as Record<string, unknown>) : {}
  const present = partKeys.filter((key) => key in fields)
  return {
    id,
    ...Object.fromEntries(present.map((key) => [key, freeText.has(key) ? mapTexts(fields[key], map) : fields[key]])),
  }
}

/** `provider/model`. A user's message has it as an object or a text, an assistant's message in two fields. */
function modelOf({model, providerID, modelID}: v.InferOutput<typeof infoSchema>): string | null {
  if (typeof model === 'string') return model
  const parsed = v.safeParse(modelSchema, typeof model === 'object' && model !== null ? model : {providerID, modelID})
  return parsed.success ? `${parsed.output.providerID}/${parsed.output.modelID}` : null
}

function shorten(text: string): string {
  if (text.length <= maxTextChars) return text
  return `${text.slice(0, maxTextChars).replace(/[\uD800-\uDBFF]$/, '')}\n[… ${counted(text.length - maxTextChars, 'character')} omitted]`
}

/** Applies `map` to each text in a value, except field names. */
function mapTexts(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value)
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, map))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, map)]))
}
