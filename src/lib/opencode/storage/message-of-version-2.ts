import * as v from 'valibot'
import {parseJson} from '../../protocol/parse.ts'
import {type AgentMessage, maybeNumber, maybeText} from './agent-session.ts'

/** The types of messages that are a part of the conversation. Others note a change of agent, model or context. */
export const shownTypes = ['user', 'assistant', 'shell', 'compaction'] as const

const time = v.fallback(v.object({created: maybeNumber, completed: v.optional(maybeNumber, null)}), {
  created: null,
  completed: null,
})
const model = v.fallback(v.object({id: maybeText, providerID: maybeText}), {id: null, providerID: null})

/** A piece of what an assistant said or did. */
const contentSchema = v.fallback(
  v.looseObject({
    type: v.string(),
    id: v.optional(maybeText, null),
    text: v.optional(maybeText, null),
    name: v.optional(maybeText, null),
    state: v.optional(v.fallback(v.nullable(v.record(v.string(), v.unknown())), null), null),
  }),
  {type: 'unknown', id: null, text: null, name: null, state: null},
)

const dataSchema = v.looseObject({
  time,
  text: v.optional(maybeText, null),
  agent: v.optional(maybeText, null),
  model: v.optional(model, {id: null, providerID: null}),
  cost: v.optional(maybeNumber, null),
  tokens: v.optional(v.unknown(), null),
  content: v.optional(v.fallback(v.array(contentSchema), []), []),
  command: v.optional(maybeText, null),
  output: v.optional(maybeText, null),
  summary: v.optional(maybeText, null),
})
type Data = v.InferOutput<typeof dataSchema>

/**
 * A message of OpenCode 2 in the form of OpenCode 1, with its parts. The format is that of `SessionMessage` in OpenCode's
 * source (packages/core/src/session/message.ts): a row has the type beside the JSON. Undefined if it cannot be read.
 */
export function messageOfVersion2(id: string, type: string, json: string): AgentMessage | undefined {
  const parsed = v.safeParse(dataSchema, parseJson(json))
  if (!parsed.success) return undefined
  const data = parsed.output
  const parts = partsOf(type, data).map((part, i) => ({id: `${id}_${i}`, data: JSON.stringify(part)}))
  return {id, info: JSON.stringify(infoOf(type, data)), parts}
}

function infoOf(type: string, {time: {created, completed}, agent, model: {id, providerID}, cost, tokens}: Data) {
  const times = {created, ...(completed === null ? {} : {completed})}
  if (type !== 'assistant' && type !== 'compaction') return {role: 'user', time: times, agent}
  return {role: 'assistant', time: times, agent, mode: agent, providerID, modelID: id, cost, tokens}
}

function partsOf(type: string, {text, content, command, output, summary}: Data): object[] {
  switch (type) {
    case 'assistant':
      return content.map((piece) =>
        piece.type === 'tool'
          ? {type: 'tool', tool: piece.name, callID: piece.id, state: stateOf(piece.state ?? {})}
          : {type: piece.type, text: piece.text ?? ''},
      )
    case 'shell':
      return [{type: 'text', text: `$ ${command ?? ''}\n${output ?? ''}`}]
    case 'compaction':
      return [{type: 'text', text: summary ?? ''}]
    default:
      return [{type: 'text', text: text ?? ''}]
  }
}

/** Version 1 has the output as one text. */
function stateOf({content, error, ...state}: Record<string, unknown>): Record<string, unknown> {
  const texts = (Array.isArray(content) ? content : []).map((piece: {text?: unknown}) => piece?.text)
  const output = texts.filter((text) => typeof text === 'string').join('\n')
  const message = (error as {message?: unknown} | undefined)?.message ?? error
  return {
    ...{status: state['status'], input: state['input']},
    ...(output === '' ? {} : {output}),
    ...(message === undefined ? {} : {error: message}),
  }
}
