import {expect, test} from 'vitest'
import type {AgentMessage, AgentSession, SessionSource} from '../../src/lib/opencode/storage/agent-session.ts'
import {limits} from '../../src/lib/protocol/limits.ts'
import {changedMessages, changedSessions, type Page} from '../../src/lib/sessions/changes.ts'

const session = (id: string, more: Partial<AgentSession> = {}): AgentSession => ({
  id,
  title: `about ${id}`,
  directory: '/a',
  projectId: 'p',
  version: '1.18.33',
  created: 1_700_000_000_000,
  updated: 1_700_000_000_000,
  messages: 1,
  summary: null,
  ...more,
})
const message = (id: string, text: string, info: object = {role: 'user', time: {created: 1}}): AgentMessage => ({
  id,
  info: JSON.stringify(info),
  parts: [{id: `prt_${id}`, data: JSON.stringify({type: 'text', text})}],
})

/** The sessions and messages that the test defines, and a server that accepts every page. */
function watched(isDelta: boolean, redact: (text: string) => string = (text) => text) {
  const storage = {sessions: [] as AgentSession[], messages: [] as AgentMessage[]}
  const source: SessionSource = {
    sessions: (_, only) => storage.sessions.filter(({id}) => only === undefined || id === only),
    messageIds: () => storage.messages.map(({id}) => id),
    message: (_, id) => storage.messages.find((message) => message.id === id),
    [Symbol.dispose]() {},
  }
  const ledgers = {sessions: '', messages: ''}
  const tell = (kind: 'sessions' | 'messages', ask: (ledger: string) => Page) => {
    const bodies: Record<string, any>[] = [] // oxlint-disable-line typescript/no-explicit-any -- what is sent is looked at
    for (;;) {
      const page = ask(ledgers[kind])
      if (page.body) bodies.push(JSON.parse(new TextDecoder().decode(page.body)) as object)
      ledgers[kind] = page.ledger
      if (page.isLast) return bodies
    }
  }
  return {
    storage,
    forget: () => Object.assign(ledgers, {sessions: '', messages: ''}),
    sessions: (only?: string) =>
      tell('sessions', (ledger) =>
        changedSessions(source, {scope: {outside: []}, only, workerId: 'w', ledger, isDelta, newest: 3}, redact),
      ),
    messages: (maxMessages = 100) =>
      tell('messages', (ledger) =>
        changedMessages(source, {sessionId: 'ses_a', workerId: 'w', ledger, isDelta, maxMessages}, redact),
      ),
  }
}

test('a server that supports changes gets only changes, each once', () => {
  const {storage, sessions} = watched(true)
  storage.sessions = [session('ses_a'), session('ses_b', {created: null, title: null})]
  expect(sessions()).toEqual([
    {
      worker_id: 'w',
      partial: true,
      deleted: [],
      sessions: [
        {
          id: 'ses_a',
          title: 'about ses_a',
          created: '2023-11-14T22:13:20.000Z',
          updated: '2023-11-14T22:13:20.000Z',
          messageCount: 1,
          directory: '/a',
          project_id: 'p',
          version: '1.18.33',
          summary: null,
        },
        expect.objectContaining({id: 'ses_b', title: 'Untitled', created: null}),
      ],
    },
  ])
  expect(sessions()).toEqual([])
  storage.sessions = [session('ses_c'), session('ses_a', {messages: 2})]
  expect(sessions()).toMatchObject([{sessions: [{id: 'ses_c'}, {id: 'ses_a', messageCount: 2}], deleted: ['ses_b']}])
  storage.sessions = [session('ses_c', {title: 'x'}), session('ses_a', {title: 'y'})]
  expect(sessions('ses_a')).toMatchObject([{sessions: [{id: 'ses_a', title: 'y'}], deleted: []}])
  storage.sessions = []
  expect(sessions()).toMatchObject([{sessions: [], deleted: ['ses_a', 'ses_c']}])
  expect(sessions()).toEqual([])
})

test('another server gets the complete list, and only when something in it has changed', () => {
  const {storage, sessions} = watched(false)
  expect(sessions()).toEqual([])
  storage.sessions = [session('ses_a'), session('ses_b')]
  const whole = {
    worker_id: 'w',
    sessions: [expect.objectContaining({id: 'ses_a'}), expect.objectContaining({id: 'ses_b'})],
  }
  expect(sessions()).toEqual([whole])
  expect(sessions()).toEqual([])
  storage.sessions = [session('ses_b')]
  expect(sessions()).toEqual([{worker_id: 'w', sessions: [expect.objectContaining({id: 'ses_b'})]}])
  storage.sessions = []
  expect(sessions()).toEqual([{worker_id: 'w', sessions: []}])
})

test('a long list is sent in pages of bounded size', () => {
  const {storage, sessions} = watched(true)
  const title = 'ü'.repeat(200)
  storage.sessions = Array.from({length: 3000}, (_, i) => session(`ses_${i}`, {title}))
  const pages = sessions()
  expect(pages.length).toBeGreaterThan(4)
  expect(Math.max(...pages.map((page) => JSON.stringify(page).length))).toBeLessThan(300 * 1024)
  const ids = pages.flatMap((page) => page['sessions'].map(({id}: {id: string}) => id))
  expect(ids).toEqual(storage.sessions.map(({id}) => id))
  expect(sessions()).toEqual([])
})

test('the newest messages are sent, with growing text, and all again after an undo', () => {
  const {storage, messages} = watched(true)
  storage.messages = ['1', '2', '3'].map((n) => message(`msg_${n}`, n))
  expect(messages(2)).toMatchObject([{messages: [{id: 'msg_2'}, {id: 'msg_3'}]}])
  expect(messages(2)).toEqual([])
  storage.messages = [...storage.messages.slice(0, 2), message('msg_3', 'x'), message('msg_4', '')]
  expect(messages(2)).toMatchObject([{partial: true, messages: [{id: 'msg_3', parts: [{text: 'x'}]}, {id: 'msg_4'}]}])
  storage.messages = [...storage.messages.slice(0, 3), message('msg_4', 'grown')]
  expect(messages(2)).toMatchObject([{partial: true, messages: [{id: 'msg_4', parts: [{text: 'grown'}]}]}])
  storage.messages = storage.messages.slice(0, 3)
  const [resent, ...others] = messages(2)
  expect(resent).toMatchObject({messages: [{id: 'msg_2'}, {id: 'msg_3'}]})
  expect(resent).not.toHaveProperty('partial')
  expect(others).toEqual([])
  storage.messages = []
  expect(messages(2)).toEqual([{worker_id: 'w', messages: []}])
  expect(messages(2)).toEqual([])
})

test('another server gets all of the newest messages at each change', () => {
  const {storage, messages} = watched(false)
  storage.messages = [message('msg_1', 'a'), message('msg_2', 'b')]
  expect(messages()).toMatchObject([{messages: [{id: 'msg_1'}, {id: 'msg_2'}]}])
  storage.messages = [message('msg_1', 'a'), message('msg_2', 'bb')]
  expect(messages()).toMatchObject([{messages: [{id: 'msg_1'}, {id: 'msg_2', parts: [{text: 'bb'}]}]}])
  expect(messages()).toEqual([])
})

test('long messages are sent in pages; a message that is too long is cut, and one that is nested too deeply has no parts', () => {
  const {storage, messages} = watched(true)
  const long = 'x'.repeat(100_000)
  storage.messages = Array.from({length: 10}, (_, i) => message(`msg_${i}`, long))
  const pages = messages()
  expect(pages.map((page) => page['messages'].length)).toEqual([2, 2, 2, 2, 2])
  expect(pages.map((page) => page['partial'])).toEqual([undefined, true, true, true, true])
  storage.messages = [message('msg_0', 'y'.repeat(2 * limits.message))]
  const [
    {
      messages: [cut],
    },
  ] = messages() as [{messages: {parts: {text: string}[]}[]}]
  expect(cut?.parts[0]?.text).toMatch(/^y{16384}\n\[… \d+ characters omitted]$/)
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
  storage.messages = [{...message('msg_0', ''), parts: [{id: 'prt', data: `{"type":"tool","state":${deep}}`}]}]
  expect(messages()).toMatchObject([{messages: [{id: 'msg_0', parts: []}]}])
})

test('a message has the fields of the protocol only; model and agent may be in any field', () => {
  const {storage, messages} = watched(true)
  const assistant = {
    role: 'assistant',
    time: {created: 0, completed: 1000},
    mode: 'plan',
    providerID: 'p',
    modelID: 'm',
    cost: 0.5,
    tokens: {input: 1},
    path: {cwd: '/secret'},
  }
  const tool = {type: 'tool', tool: 'bash', callID: 'c', state: {status: 'completed', output: 'o'}, snapshot: 'abc'}
  storage.messages = [
    {id: 'msg_1', info: JSON.stringify(assistant), parts: [{id: 'prt_1', data: JSON.stringify(tool)}]},
    message('msg_2', '', {role: 'user', agent: 'build', model: {providerID: 'p', modelID: 'n'}}),
    message('msg_3', '', {role: 'user', model: 'p/x', time: 'late', cost: 'much'}),
    message('msg_4', '', {nothing: true}),
    {id: 'msg_5', info: 'torn', parts: []},
  ]
  expect(messages()).toEqual([
    {
      worker_id: 'w',
      messages: [
        {
          id: 'msg_1',
          sessionID: 'ses_a',
          role: 'assistant',
          time: {created: '1970-01-01T00:00:00.000Z', completed: '1970-01-01T00:00:01.000Z'},
          agent: 'plan',
          model: 'p/m',
          cost: 0.5,
          tokens: {input: 1},
          tool_calls: [],
          parts: [{id: 'prt_1', type: 'tool', tool: 'bash', callID: 'c', state: {status: 'completed', output: 'o'}}],
        },
        expect.objectContaining({id: 'msg_2', model: 'p/n', agent: 'build', cost: null, tokens: null}),
        expect.objectContaining({id: 'msg_3', model: 'p/x', agent: null, time: {created: null}, cost: null}),
      ],
    },
  ])
})

test('texts are redacted before sending, in every field, and ids are unchanged', () => {
  const {storage, sessions, messages} = watched(true, (text) => text.replaceAll(/a/g, '*'))
  storage.sessions = [session('ses_a', {title: 'banana'})]
  expect(sessions()).toMatchObject([{sessions: [{id: 'ses_a', title: 'b*n*n*'}]}])
  const data = JSON.stringify({type: 'tool', callID: 'call_a', state: {input: {key: ['banana']}, output: 'a'}})
  storage.messages = [{id: 'msg_a', info: '{"role":"assistant"}', parts: [{id: 'prt_a', data}]}]
  expect(messages()).toMatchObject([
    {
      messages: [
        {
          id: 'msg_a',
          sessionID: 'ses_a',
          role: 'assistant',
          parts: [{id: 'prt_a', callID: 'call_a', state: {input: {key: ['b*n*n*']}, output: '*'}}],
        },
      ],
    },
  ])
})
