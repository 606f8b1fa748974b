import {parseJson} from '../protocol/parse.ts'

/**
 * Messages of the Agent Client Protocol, wire version 1 (agentclientprotocol.com/protocol/v1): JSON-RPC 2.0, one message
 * per line. Readers are tolerant, because agents send more than they announce.
 */
export type Fields = Record<string, unknown>

/** The id of a request. Ours are texts that name the request. Those of an agent are in a space of their own. */
export type MessageId = string | number

export type RpcError = {code: number; message: string; data: Fields}

export type AgentMessage =
  | {type: 'result'; id: MessageId; result: Fields}
  | {type: 'failure'; id: MessageId | null; error: RpcError}
  | {type: 'request'; id: MessageId; method: string; params: Fields}
  | {type: 'notification'; method: string; params: Fields}
  /** Not a message: a line of a program that prints to its standard output, or one that was too long. */
  | {type: 'noise'; why: 'not-json' | 'too-long'}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
export const listOf = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isFields) : [])
/** Ignores numbers whose sum could overflow. */
export const numberOf = (value: unknown): number =>
  typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : 0

const isId = (value: unknown): value is MessageId => typeof value === 'string' || typeof value === 'number'

/** Parses a line that an agent printed. Undefined stands for a line that was too long. */
export function readMessage(line: string | undefined): AgentMessage {
  if (line === undefined) return {type: 'noise', why: 'too-long'}
  const value = parseJson(line)
  if (!isFields(value)) return {type: 'noise', why: 'not-json'}
  const {id, method, params, result, error} = value
  if (typeof method === 'string') {
    const call = {method, params: fieldsOf(params)}
    return isId(id) ? {type: 'request', id, ...call} : {type: 'notification', ...call}
  }
  if (isFields(error)) {
    const {code, message, data} = error
    const read = {code: typeof code === 'number' ? code : 0, message: textOf(message), data: fieldsOf(data)}
    return {type: 'failure', id: isId(id) ? id : null, error: read}
  }
  return isId(id) ? {type: 'result', id, result: fieldsOf(result)} : {type: 'noise', why: 'not-json'}
}

/** Error codes of JSON-RPC, and of the protocol. */
export const rpcErrors = {
  parse: -32700,
  unknownMethod: -32601,
  invalid: -32602,
  internal: -32603,
  login: -32000,
} as const

const line = (message: Fields) => JSON.stringify({jsonrpc: '2.0', ...message})

export const requestLine = (id: string, method: string, params: Fields) => line({id, method, params})
export const notificationLine = (method: string, params: Fields) => line({method, params})
export const resultLine = (id: MessageId, result: Fields) => line({id, result})
export const failureLine = (id: MessageId, code: number, message: string) => line({id, error: {code, message}})

export type RequestIds = ReturnType<typeof requestIdsOf>

/**
 * The ids of our requests. `session` opens a session in any of the three ways; after a login it is opened again.
 * `prefix` tells the tasks apart that one process of an agent has run.
 */
export const requestIdsOf = (prefix: string) => ({
  initialize: `${prefix}initialize`,
  login: `${prefix}authenticate`,
  session: `${prefix}session`,
  sessionAfterLogin: `${prefix}session-2`,
  option: (name: string) => `${prefix}option-${name}`,
  prompt: (turn: number) => `${prefix}prompt-${turn}`,
  /** Whether this is the id of a prompt. */
  isPrompt: (id: MessageId | null) =>
    typeof id === 'string' && id.startsWith(`${prefix}prompt-`) && /^\d+$/.test(id.slice(prefix.length + 7)),
})
