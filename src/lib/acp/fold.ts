import {
  type AgentMessage,
  type Fields,
  fieldsOf,
  listOf,
  numberOf,
  type RequestIds,
  requestIdsOf,
  type RpcError,
  textOf,
} from './message.ts'

/** An event as `opencode run --format json` prints it, without the time. */
export type AgentEvent = {type: string; sessionID: string} & Fields

/** A longer text becomes several events, so that a flood takes no memory. */
const maxTextChars = 8 * 1024 * 1024
/** Tool calls that are remembered. An agent that opens more loses the names of the oldest. */
const maxCalls = 1000

type Call = {tool: string; title: string; input: Fields; output: string}

export type FoldOptions = {
  /** Null: the answer to `session/new` names it. */
  sessionId: string | null
  /** Cost of the session before this process, if it is known. A new session has cost nothing. */
  costBefore?: number | undefined
  /** Of the ids of our requests. */
  prefix?: string
}

/**
 * Folds the messages of an agent into the events of a run: many chunks become one text, and many updates one tool call.
 * A pure function of the messages in their order, so another process that reads them again gets the same events.
 */
export class AcpFold {
  #sessionId: string | null
  #isOpen = false
  #isInStep = false
  #text = ''
  #messageId = ''
  #texts = 0
  /** Counts the tool calls: a text after one is another message, also for agents that do not say so. */
  #segment = 0
  readonly #ids: RequestIds
  /** The open calls, and the ids of ended ones: an update that follows says nothing new. */
  readonly #calls = new Map<string, Call>()
  readonly #ended = new Set<string>()
  /** Undefined until the session has said what it has cost before. */
  #cost: number | undefined
  #spent = 0

  constructor({sessionId, costBefore, prefix = ''}: FoldOptions) {
    this.#ids = requestIdsOf(prefix)
    this.#sessionId = sessionId
    this.#cost = sessionId === null ? 0 : costBefore
  }

  /** The tool calls that are open, oldest first. */
  get openCalls(): {id: string; tool: string; title: string}[] {
    return [...this.#calls].map(([id, {tool, title}]) => ({id, tool, title}))
  }

  add(message: AgentMessage): AgentEvent[] {
    switch (message.type) {
      case 'result':
        if (message.id === this.#ids.session || message.id === this.#ids.sessionAfterLogin)
          return this.#open(message.result)
        return this.#ids.isPrompt(message.id) ? this.#endTurn(message.result) : []
      case 'failure':
        return this.#ids.isPrompt(message.id) ? this.#failTurn(message.error) : []
      case 'notification': {
        const {sessionId, update} = message.params
        // A session that is loaded repeats its history first. Subagents have sessions of their own.
        if (message.method !== 'session/update' || !this.#isOpen || sessionId !== this.#sessionId) return []
        return this.#update(fieldsOf(update))
      }
      case 'request':
        return message.method === 'session/request_permission' ? this.#flush() : []
      default:
        return []
    }
  }

  /** The agent has ended: what it has not completed. */
  end(): AgentEvent[] {
    return this.#flush()
  }

  #open(result: Fields): AgentEvent[] {
    this.#sessionId ??= textOf(result['sessionId'])
    this.#isOpen = true
    return []
  }

  #update(update: Fields): AgentEvent[] {
    switch (update['sessionUpdate']) {
      case 'agent_message_chunk':
        return this.#addText(update)
      case 'agent_thought_chunk':
        return this.#flush()
      case 'tool_call':
      case 'tool_call_update':
        return [...this.#flush(), ...this.#updateCall(update)]
      case 'usage_update':
        return this.#spend(fieldsOf(update['cost']))
      default:
        return []
    }
  }

  #addText(update: Fields): AgentEvent[] {
    const content = fieldsOf(update['content'])
    const text = content['type'] === 'text' ? textOf(content['text']) : ''
    if (text === '') return []
    const id = textOf(update['messageId'])
    const isNew = this.#text !== '' && (id !== this.#messageId || this.#text.length > maxTextChars)
    // The begin of an answer shows at once, its text when it is complete.
    const events = [...(isNew ? this.#flush() : []), ...(this.#isInStep ? [] : this.#step())]
    this.#messageId = id
    this.#text += text
    return events
  }

  /** The text so far as an event. */
  #flush(): AgentEvent[] {
    if (this.#text === '') return []
    const text = this.#text
    this.#text = ''
    this.#texts += 1
    const id = `prt_acp_${this.#texts}`
    const messageID = `${this.#messageId || 'msg_acp'}.${this.#segment}`
    return [...this.#step(), this.#event('text', {id, messageID, type: 'text', text})]
  }

  #updateCall(update: Fields): AgentEvent[] {
    const id = textOf(update['toolCallId'])
    if (id === '' || this.#ended.has(id)) return []
    const call = mergeCall(this.#calls.get(id), update)
    this.#calls.set(id, call)
    bound(this.#calls)
    const status = update['status']
    if (status !== 'completed' && status !== 'failed') return this.#step()
    this.#calls.delete(id)
    this.#ended.add(id)
    bound(this.#ended)
    this.#segment += 1
    const {tool, title, input, output} = call
    const said = status === 'completed' ? {output} : {error: output || 'the call failed'}
    const metadata = fieldsOf(fieldsOf(update['rawOutput'])['metadata'])
    const state = {status: status === 'completed' ? 'completed' : 'error', input, ...said, title, metadata}
    return [...this.#step(), this.#event('tool_use', {id: `prt_${id}`, type: 'tool', tool, callID: id, state})]
  }

  /** `amount` is what the session has cost so far. */
  #spend({amount}: Fields): AgentEvent[] {
    if (typeof amount !== 'number') return []
    // The text so far belongs to the step that has cost this. Agents say it after the last text of a turn.
    const events = this.#flush()
    const total = numberOf(amount)
    if (this.#cost !== undefined && total > this.#cost) this.#spent += total - this.#cost
    this.#cost = total
    return events
  }

  /** The events before what belongs to a step: its begin, and the end of the step before if that has a cost. */
  #step(): AgentEvent[] {
    if (!this.#isInStep) {
      this.#isInStep = true
      return [this.#event('step_start', {type: 'step-start'})]
    }
    return this.#spent > 0 ? [this.#finish('tool-calls', {}), this.#event('step_start', {type: 'step-start'})] : []
  }

  #finish(reason: string, usage: Fields): AgentEvent {
    const cost = this.#spent
    this.#spent = 0
    return this.#event('step_finish', {type: 'step-finish', reason, tokens: tokensOf(usage), cost})
  }

  #endTurn(result: Fields): AgentEvent[] {
    const stopReason = textOf(result['stopReason'])
    const usage = usageOf(result)
    const events = [...this.#flush(), ...(this.#isInStep ? [] : this.#step())]
    const reason = finishReasons.get(stopReason)
    this.#isInStep = false
    if (reason !== undefined) return [...events, this.#finish(reason, usage)]
    const message =
      stopErrors.get(stopReason) ?? `the agent ended its turn for an unknown reason: ${stopReason || 'none'}`
    return [...events, this.#finish('other', usage), this.#error('TurnEnded', message)]
  }

  #failTurn({message, data}: RpcError): AgentEvent[] {
    const events = [...this.#flush(), ...(this.#isInStep && this.#spent > 0 ? [this.#finish('error', {})] : [])]
    this.#isInStep = false
    return [...events, this.#error(textOf(data['errorName']) || 'AgentError', plainError(message, data))]
  }

  #error = (name: string, message: string): AgentEvent => ({
    type: 'error',
    sessionID: this.#sessionId ?? '',
    error: {name, data: {message}},
  })

  #event(type: string, part: Fields): AgentEvent {
    const sessionID = this.#sessionId ?? ''
    return {type, sessionID, part: {...part, sessionID}}
  }
}

/** Removes the oldest entries. */
function bound(entries: Map<string, unknown> | Set<string>): void {
  for (const id of entries.keys()) {
    if (entries.size <= maxCalls) return
    entries.delete(id)
  }
}

/** The reasons of a step's end as OpenCode names them. */
const finishReasons = new Map([
  ['end_turn', 'stop'],
  ['max_tokens', 'length'],
])

const stopErrors = new Map([
  ['refusal', 'the agent refused to continue'],
  ['max_turn_requests', 'the agent has asked its model as often as it may in one turn (its own limit)'],
  ['cancelled', 'the turn was cancelled'],
])

/** The message of an error without what says nothing. Details are in `data`, in a different place for each agent. */
export function plainError(message: string, data: Fields = {}): string {
  const text = message.replace(/^Internal error:? ?/, '').trim()
  const details = textOf(data['details']) || textOf(data['message']) || textOf(data['error'])
  if (text === '') return details || message || 'the agent reported an error without a message'
  return details && !text.includes(details) ? `${text}: ${details}` : text
}

/** What a turn has used. Gemini CLI says it in a field of its own. */
function usageOf({usage, _meta}: Fields): Fields {
  if (usage !== undefined) return fieldsOf(usage)
  const count = fieldsOf(fieldsOf(fieldsOf(_meta)['quota'])['token_count'])
  return {inputTokens: count['input_tokens'], outputTokens: count['output_tokens']}
}

/** PromptResponse.usage of the protocol (marked unstable there) in OpenCode's names. */
function tokensOf(usage: Fields): Fields {
  const cache = {read: numberOf(usage['cachedReadTokens']), write: numberOf(usage['cachedWriteTokens'])}
  return {
    input: numberOf(usage['inputTokens']),
    output: numberOf(usage['outputTokens']),
    reasoning: numberOf(usage['thoughtTokens']),
    cache,
  }
}

function mergeCall(before: Call | undefined, update: Fields): Call {
  const input = fieldsOf(update['rawInput'])
  const hasInput = Object.keys(input).length > 0
  return {
    tool: before?.tool ?? toolOf(update),
    title: textOf(update['title']) || (before?.title ?? ''),
    input: hasInput ? input : (before?.input ?? {}),
    output: outputOf(update) || (before?.output ?? ''),
  }
}

/** The name of a tool. The protocol has a field for it only since lately; OpenCode's first title is the name. */
function toolOf(update: Fields): string {
  const meta = fieldsOf(fieldsOf(update['_meta'])['claudeCode'])
  const title = textOf(update['title'])
  const named = textOf(update['name']) || textOf(meta['toolName']) || (/^[\w.-]{1,40}$/.test(title) ? title : '')
  return named || textOf(update['kind']) || 'tool'
}

function outputOf(update: Fields): string {
  const raw = update['rawOutput']
  if (typeof raw === 'string') return raw
  const output = fieldsOf(raw)['output']
  if (typeof output === 'string') return output
  return listOf(update['content'])
    .map(contentText)
    .filter((text) => text !== '')
    .join('\n')
}

function contentText(item: Fields): string {
  if (item['type'] === 'diff') return `changed ${textOf(item['path'])}`
  return textOf(fieldsOf(item['content'])['text'])
}
