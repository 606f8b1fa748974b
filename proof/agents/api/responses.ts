import {
  type Answer,
  type Api,
  type Fields,
  listOf,
  type ServerEvent,
  stepAfter,
  theEdit,
  thePrompt,
  tokens,
} from '../scripted-endpoint.ts'

const patch = `*** Begin Patch\n*** Update File: ${theEdit.file}\n@@\n-${theEdit.old}\n+${theEdit.new}\n*** End Patch`

let count = 0

/** The Responses API of OpenAI, with streaming events. */
export const responses: Api = ({method, path, body}) => {
  if (method !== 'POST' || !path.endsWith('/responses')) return {status: 404, json: {error: {message: 'not scripted'}}}
  const tools = toolsOf(body)
  if (tools.length === 0 || !hasPrompt(body)) return answer({text: 'A title'})
  const results = listOf(body['input']).filter(({type}) => String(type).endsWith('_call_output')).length
  const step = stepAfter(results, ['edit'])
  return {step, ...answer(step === 'text' ? {text: theEdit.say} : {tool: editCall(tools)})}
}

/** For a title the client opens a conversation of its own, which quotes the prompt. */
const hasPrompt = (body: Fields) =>
  listOf(body['input']).some(({content}) => listOf(content).some(({text}) => text === thePrompt))

/** Newer models get their tools as an item of the conversation, in a name space. */
function toolsOf(body: Fields): Fields[] {
  const more = listOf(body['input']).flatMap(({tools}) => listOf(tools))
  return [...listOf(body['tools']), ...more].flatMap((tool) => [tool, ...listOf(tool['tools'])])
}

/** The tool with which this model may edit: a patch as a text or as JSON, a script, or a shell that understands `apply_patch`. */
function editCall(tools: Fields[]): Fields {
  const find = (name: string) => tools.find((tool) => tool['name'] === name)
  const own = find('apply_patch')
  if (own?.['type'] === 'custom') return {type: 'custom_tool_call', name: 'apply_patch', input: patch}
  if (own) return functionCall('apply_patch', {input: patch})
  const script = `text(await tools.apply_patch(${JSON.stringify(patch)}))`
  if (find('exec')?.['type'] === 'custom') return {type: 'custom_tool_call', name: 'exec', input: script}
  const command = `apply_patch <<'EOF'\n${patch}\nEOF`
  if (find('exec_command')) return functionCall('exec_command', {cmd: command})
  if (find('shell_command')) return functionCall('shell_command', {command})
  return functionCall('shell', {command: ['bash', '-lc', command]})
}

const functionCall = (name: string, args: Fields): Fields => ({
  type: 'function_call',
  name,
  arguments: JSON.stringify(args),
})

function answer({text, tool}: {text?: string; tool?: Fields}): Answer {
  count += 1
  const response = {id: `resp_${count}`, object: 'response'}
  const id = `item_${count}`
  const message = {type: 'message', id, role: 'assistant', content: [{type: 'output_text', text, annotations: []}]}
  const item = tool ? {...tool, id, call_id: `call_${count}`, status: 'completed'} : message
  const usage = {
    input_tokens: tokens.input,
    input_tokens_details: {cached_tokens: 0},
    output_tokens: tokens.output,
    output_tokens_details: {reasoning_tokens: 0},
    total_tokens: tokens.input + tokens.output,
  }
  return {
    events: [
      event('response.created', {response}),
      event('response.output_item.added', {output_index: 0, item: tool ? item : {...message, content: []}}),
      ...(tool
        ? []
        : [event('response.output_text.delta', {item_id: id, output_index: 0, content_index: 0, delta: text})]),
      event('response.output_item.done', {output_index: 0, item}),
      event('response.completed', {response: {...response, status: 'completed', output: [item], usage}}),
    ],
  }
}

const event = (type: string, data: Fields): ServerEvent => ({event: type, data: {type, ...data}})
