import {withoutEscapes} from '../../core/text/escapes.ts'
import {limits} from '../../protocol/limits.ts'
import {parseJson} from '../../protocol/parse.ts'

export type StepTokens = {input: number; output: number; reasoning: number; cacheRead: number; cacheWrite: number}

/** A parsed line of `opencode run --format json`. Any line may name the session. */
export type AgentFact = {sessionId?: string | undefined} & (
  | {type: 'session'}
  | {type: 'step-start'; at: number}
  | {type: 'tool'; tool: string; status: string; title: string; error: string}
  | {type: 'text'; messageId: string; text: string; synthetic: boolean}
  | {type: 'step-finish'; at: number; reason: string; tokens: StepTokens; cost: number}
  | {type: 'error'; name: string; message: string; status?: number; provider?: string}
  | {type: 'other'; why: 'unknown' | 'not-json' | 'too-long'}
)

type Fields = Record<string, unknown>

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
/** Ignores numbers whose sum could overflow: a control plane would refuse the report. */
const numberOf = (value: unknown): number =>
  typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : 0

/**
 * Parses one line. Undefined stands for a line that was too long. Never throws: new versions print new kinds of events,
 * and old ones print text between the JSON.
 */
export function readFact(line: string | undefined): AgentFact {
  if (line === undefined) return {type: 'other', why: 'too-long'}
  const event = parseEvent(line)
  if (!isFields(event)) return {type: 'other', why: 'not-json'}
  const session = textOf(event['sessionID'])
  // a control plane would refuse a report with a longer one
  const sessionId = session !== '' && session.length <= limits.id ? session : undefined
  return {...factOf(event), sessionId}
}

/** The fact with its texts redacted: before anything is cut, stored, shown or reported. */
export function redactFact(fact: AgentFact, redact: (text: string) => string): AgentFact {
  if (fact.type === 'tool') return {...fact, title: redact(fact.title), error: redact(fact.error)}
  if (fact.type === 'text') return {...fact, text: redact(fact.text)}
  return fact.type === 'error' ? {...fact, message: redact(fact.message)} : fact
}

// oxlint-disable-next-line no-control-regex -- ESC and BEL are the point
const terminalCodes = /[\u001b\u0007\r]/

/** Programs that OpenCode starts may write window titles, colours and progress to its terminal, around an event too. */
function parseEvent(line: string): unknown {
  const event = line.startsWith('{') ? parseJson(line) : undefined
  if (event !== undefined || !terminalCodes.test(line)) return event
  const plain = withoutEscapes(line).replaceAll('\u0007', '')
  const last = plain.slice(plain.trimEnd().lastIndexOf('\r') + 1).trim()
  return last.startsWith('{') ? parseJson(last) : undefined
}

function factOf(event: Fields): AgentFact {
  const part = fieldsOf(event['part'])
  switch (event['type']) {
    case 'step_start':
      return {type: 'step-start', at: numberOf(event['timestamp'])}
    case 'tool_use':
      return toolFact(part)
    case 'text': {
      const synthetic = part['synthetic'] === true
      return {type: 'text', messageId: textOf(part['messageID']), text: textOf(part['text']), synthetic}
    }
    case 'step_finish':
      return {
        type: 'step-finish',
        at: numberOf(event['timestamp']),
        reason: textOf(part['reason']) || 'unknown',
        tokens: tokensOf(fieldsOf(part['tokens'])),
        cost: numberOf(part['cost']),
      }
    case 'error':
      return errorFact(event['error'])
    default:
      return event['sessionID'] ? {type: 'session'} : {type: 'other', why: 'unknown'}
  }
}

function toolFact(part: Fields): AgentFact {
  const state = fieldsOf(part['state'])
  return {
    type: 'tool',
    tool: textOf(part['tool']),
    status: textOf(state['status']),
    title: textOf(state['title']),
    error: textOf(state['error']),
  }
}

const tokensOf = (tokens: Fields): StepTokens => {
  const cache = fieldsOf(tokens['cache'])
  return {
    input: numberOf(tokens['input']),
    output: numberOf(tokens['output']),
    reasoning: numberOf(tokens['reasoning']),
    cacheRead: numberOf(cache['read']),
    cacheWrite: numberOf(cache['write']),
  }
}

/** 1.x: `{name, data: {message}}`; 2.x: `{type, message}`. */
function errorFact(value: unknown): AgentFact {
  const error = fieldsOf(value)
  const name = textOf(error['name']) || textOf(error['type']) || 'Error'
  const data = fieldsOf(error['data'])
  const message = textOf(data['message']) || textOf(error['message']) || textOf(value)
  const status = numberOf(data['statusCode'])
  const provider = textOf(data['providerID'])
  return {type: 'error', name, message, ...(status > 0 ? {status} : {}), ...(provider ? {provider} : {})}
}
