import {
  type Answer,
  type Api,
  type Fields,
  listOf,
  type ServerEvent,
  stepAfter,
  theEdit,
  tokens,
} from '../scripted-endpoint.ts'

const usage = {
  input_tokens: tokens.input,
  output_tokens: tokens.output,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
}

let count = 0

/** The Messages API of Anthropic, with streaming events. */
export const anthropic: Api = ({method, path, body, file}) => {
  if (method !== 'POST' || !path.startsWith('/v1/messages')) return {}
  if (path.includes('count_tokens')) return {json: {input_tokens: tokens.input}}
  const names = listOf(body['tools']).map(({name}) => name)
  if (!names.includes('Edit') || isSuggestion(body)) return answer(body, {type: 'text', text: 'A title'})
  const results = listOf(body['messages'])
    .flatMap(({content}) => listOf(content))
    .filter(({type}) => type === 'tool_result').length
  const step = stepAfter(results, ['read', 'edit'])
  return {step, ...answer(body, blocks[step](file))}
}

/** After a turn the client asks what the person may say next. */
const isSuggestion = (body: Fields) => JSON.stringify(listOf(body['messages']).at(-1)).includes('[SUGGESTION MODE')

type Block = {type: 'text'; text: string} | {type: 'tool_use'; name: string; input: Fields}

const blocks: Record<'read' | 'edit' | 'text', (file: string) => Block> = {
  read: (file) => ({type: 'tool_use', name: 'Read', input: {file_path: file}}),
  edit: (file) => ({
    type: 'tool_use',
    name: 'Edit',
    input: {file_path: file, old_string: theEdit.old, new_string: theEdit.new},
  }),
  text: () => ({type: 'text', text: theEdit.say}),
}

function answer(body: Fields, block: Block): Answer {
  count += 1
  const id = `msg_${count}`
  const isTool = block.type === 'tool_use'
  const stop = isTool ? 'tool_use' : 'end_turn'
  const whole = isTool ? {...block, id: `toolu_${count}`} : block
  const message = {id, type: 'message', role: 'assistant', model: body['model'], stop_sequence: null, usage}
  if (body['stream'] !== true) return {json: {...message, content: [whole], stop_reason: stop}}
  const start = isTool ? {...whole, input: {}} : {type: 'text', text: ''}
  const delta = isTool
    ? {type: 'input_json_delta', partial_json: JSON.stringify(block.input)}
    : {type: 'text_delta', text: block.text}
  return {
    events: [
      event('message_start', {message: {...message, content: [], stop_reason: null}}),
      event('content_block_start', {index: 0, content_block: start}),
      event('content_block_delta', {index: 0, delta}),
      event('content_block_stop', {index: 0}),
      event('message_delta', {delta: {stop_reason: stop, stop_sequence: null}, usage}),
      event('message_stop', {}),
    ],
  }
}

const event = (type: string, data: Fields): ServerEvent => ({event: type, data: {type, ...data}})
