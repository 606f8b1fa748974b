import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {describe, expect, test} from 'vitest'
import {AcpFold, type AgentEvent, type FoldOptions} from '../../src/lib/acp/fold.ts'
import {type Fields, fieldsOf, readMessage} from '../../src/lib/acp/message.ts'

const recorded = (name: string) =>
  readFileSync(join(import.meta.dirname, `../fixtures/acp/${name}.ndjson`), 'utf8')
    .trimEnd()
    .split('\n')

function fold(lines: readonly string[], options: FoldOptions = {sessionId: null}): AgentEvent[] {
  const acp = new AcpFold(options)
  return [...lines.flatMap((line) => acp.add(readMessage(line))), ...acp.end()]
}

/** An event as a line for people. */
function lineOf(event: AgentEvent): string {
  const part = fieldsOf(event['part'])
  const state = fieldsOf(part['state'])
  switch (event.type) {
    case 'text':
      return `text ${JSON.stringify(part['text'])}`
    case 'tool_use':
      return `tool ${String(part['tool'])} ${String(state['status'])}: ${String(state['title'])}`
    case 'step_finish': {
      const {input, output} = fieldsOf(part['tokens'])
      const cost = Number(Number(part['cost']).toFixed(6))
      return `finish ${String(part['reason'])} ${String(input)}/${String(output)} $${cost}`
    }
    case 'error':
      return `error ${JSON.stringify(fieldsOf(fieldsOf(event['error'])['data'])['message'])}`
    default:
      return event.type
  }
}

const linesOf = (...given: Parameters<typeof fold>) => fold(...given).map(lineOf)

const said = 'text "The file is edited."'

describe('what an agent has printed in an edit becomes the events of a run', () => {
  test.each([
    [
      'opencode',
      ['tool read completed: README.md', 'tool edit completed: README.md', said, 'finish stop 2651/6 $0.007865'],
    ],
    [
      'claude',
      [
        'tool Read completed: Read README.md',
        'tool Edit completed: Edit README.md',
        said,
        'finish stop 300/30 $0.0024',
      ],
    ],
    ['codex', ['tool edit completed: Editing files', said, 'finish stop 200/20 $0']],
    ['gemini', ['tool edit completed: README.md: hello => hello, edited', said, 'finish stop 200/20 $0']],
  ])('%s', (name, expected) => {
    expect(linesOf(recorded(name))).toEqual(['step_start', ...expected])
  })
})

const session = (id = 's') => JSON.stringify({id: 'session', result: {sessionId: id}})
const update = (sessionUpdate: string, fields: Fields = {}, sessionId = 's') =>
  JSON.stringify({method: 'session/update', params: {sessionId, update: {sessionUpdate, ...fields}}})
const chunk = (text: string, more: Fields = {}, sessionId = 's') =>
  update('agent_message_chunk', {content: {type: 'text', text}, ...more}, sessionId)
const call = (toolCallId: string, fields: Fields) => update('tool_call', {toolCallId, ...fields})
const change = (toolCallId: string, fields: Fields) => update('tool_call_update', {toolCallId, ...fields})
const ended = (result: Fields = {}) => JSON.stringify({id: 'prompt-1', result: {stopReason: 'end_turn', ...result}})
const failed = (error: Fields) => JSON.stringify({id: 'prompt-1', error: {code: -32603, ...error}})
const cost = (amount: number) => update('usage_update', {used: 1, size: 2, cost: {amount, currency: 'USD'}})

describe('texts', () => {
  test('chunks without an id are one text until a tool call', () => {
    const edit = call('c', {title: 'edit', status: 'completed'})
    const events = fold([session(), chunk('Let me '), chunk('look.'), edit, chunk('Do'), chunk('ne.'), ended()])
    expect(events.map(lineOf)).toEqual([
      'step_start',
      'text "Let me look."',
      'tool edit completed: edit',
      'text "Done."',
      'finish stop 0/0 $0',
    ])
    const ids = events.filter(({type}) => type === 'text').map((event) => fieldsOf(event['part'])['messageID'])
    expect(new Set(ids).size).toBe(2)
  })

  test('another id is another text, and what is no text is none', () => {
    const image = update('agent_message_chunk', {content: {type: 'image', data: 'AAAA'}})
    const thought = update('agent_thought_chunk', {content: {type: 'text', text: 'hm'}})
    const lines = [session(), chunk('a', {messageId: '1'}), image, chunk('b', {messageId: '2'}), thought, ended()]
    expect(linesOf(lines)).toEqual(['step_start', 'text "a"', 'text "b"', 'finish stop 0/0 $0'])
  })

  test('a text that the agent does not complete is kept', () => {
    expect(linesOf([session(), chunk('I was about')])).toEqual(['step_start', 'text "I was about"'])
  })

  test('a notice of the agent is not said by the model', () => {
    const notice = update('notice', {severity: 'warning', title: 'Warning', description: 'Nothing breaks.'})
    expect(linesOf([session(), chunk('Done.'), notice, ended()])).toEqual([
      'step_start',
      'text "Done."',
      'finish stop 0/0 $0',
    ])
  })
})

describe('tool calls', () => {
  test('a call that never completes is no event, and stays open', () => {
    const acp = new AcpFold({sessionId: null})
    const lines = [session(), call('c', {title: 'bash', kind: 'execute', status: 'in_progress'}), ended()]
    expect(lines.flatMap((line) => acp.add(readMessage(line))).map(lineOf)).toEqual([
      'step_start',
      'finish stop 0/0 $0',
    ])
    expect(acp.openCalls).toEqual([{id: 'c', tool: 'bash', title: 'bash'}])
  })

  test('a failed call has its message, or says that it failed', () => {
    const content = [{type: 'content', content: {type: 'text', text: 'no such file'}}]
    const events = fold([
      session(),
      change('a', {title: 'read', status: 'failed', content}),
      change('b', {title: 'read', status: 'failed'}),
    ])
    const errors = events.map((event) => fieldsOf(fieldsOf(event['part'])['state'])['error'])
    expect(errors).toEqual([undefined, 'no such file', 'the call failed'])
  })

  test('a call completes once, and updates without an id are ignored', () => {
    const done = change('c', {title: 'edit', status: 'completed'})
    expect(linesOf([session(), done, done, change('', {status: 'completed'})])).toEqual([
      'step_start',
      'tool edit completed: edit',
    ])
  })
})

describe('usage', () => {
  test('the cost of a session grows, and each step has its share', () => {
    const edit = call('c', {title: 'edit', status: 'completed'})
    const lines = [
      session(),
      chunk('a'),
      cost(0.5),
      edit,
      cost(0.75),
      ended({usage: {inputTokens: 7, outputTokens: 3}}),
    ]
    expect(linesOf(lines)).toEqual([
      'step_start',
      'text "a"',
      'finish tool-calls 0/0 $0.5',
      'step_start',
      'tool edit completed: edit',
      'finish stop 7/3 $0.25',
    ])
  })

  test('of a continued session only the new cost counts', () => {
    const opened = JSON.stringify({id: 'session', result: {}})
    expect(linesOf([opened, cost(2), chunk('a'), cost(2.5), ended()], {sessionId: 's'}).at(-1)).toBe(
      'finish stop 0/0 $0.5',
    )
    expect(linesOf([opened, chunk('a'), cost(2.5), ended()], {sessionId: 's', costBefore: 2}).at(-1)).toBe(
      'finish stop 0/0 $0.5',
    )
  })

  test('tokens are also read where Gemini CLI says them', () => {
    const _meta = {quota: {token_count: {input_tokens: 200, output_tokens: 20}}}
    expect(linesOf([session(), ended({_meta})])).toEqual(['step_start', 'finish stop 200/20 $0'])
  })
})

test('an error says its details, wherever the agent puts them', () => {
  const errors = [
    failed({message: 'Internal error', data: {details: 'no credit left'}}),
    failed({message: 'Internal error: rate limited', data: {message: 'rate limited'}}),
    failed({message: 'Request failed', data: {error: 'HTTP 500'}}),
    failed({}),
  ]
  expect(errors.flatMap((error) => linesOf([session(), error]))).toEqual([
    'error "no credit left"',
    'error "rate limited"',
    'error "Request failed: HTTP 500"',
    'error "the agent reported an error without a message"',
  ])
})

test('the history of a loaded session is not repeated', () => {
  const loaded = JSON.stringify({id: 'session', result: {}})
  const lines = [chunk('old'), call('o', {title: 'edit', status: 'completed'}), loaded, chunk('new'), ended()]
  expect(linesOf(lines, {sessionId: 's'})).toEqual(['step_start', 'text "new"', 'finish stop 0/0 $0'])
})

test('sessions of subagents and lines that are no messages are ignored', () => {
  const lines = [session(), 'debug: hello', '[]', '', chunk('other', {}, 'child'), chunk('mine'), ended()]
  expect(linesOf(lines)).toEqual(['step_start', 'text "mine"', 'finish stop 0/0 $0'])
})
