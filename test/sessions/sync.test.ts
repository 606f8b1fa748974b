import {mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {agentDatabase, agentTree} from '../support/agent-storage.ts'
import {fastClock} from '../support/fast-clock.ts'
import {startPlane} from '../support/plane.ts'
import {startProxy} from '../support/proxy.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {until} from '../support/scratch.ts'
import {startSessionSync, type SyncingOptions} from '../support/session-sync.ts'

/** Our own server behind a proxy that counts requests. */
async function ours(options: SyncingOptions = {}) {
  const plane = await startPlane()
  const proxy = await startProxy(plane.url)
  const sync = await startSessionSync(proxy.url, options)
  const read = async (path: string) => (await plane.call('GET', `/v1/opencode/codebases/${path}`)).body
  return {
    ...sync,
    plane,
    proxy,
    /** The number of syncs since the last call. */
    syncs: () => proxy.requests.splice(0).filter((request) => request.endsWith('/sync')).length,
    listed: async (codebase = sync.known.id): Promise<{id: string; title: string; messageCount: number}[]> =>
      (await read(`${codebase}/sessions?limit=1000`)).sessions,
    texts: async (session: string): Promise<string[]> =>
      (await read(`${sync.known.id}/sessions/${session}/messages`)).messages.map(({parts}: {parts: {text: string}[]}) =>
        parts.map(({text}) => text).join(),
      ),
    async [Symbol.asyncDispose]() {
      await sync[Symbol.asyncDispose]()
      await proxy[Symbol.asyncDispose]()
      await plane.close()
    },
  }
}

async function setUpExistingServer(options: SyncingOptions = {}) {
  const server = await ReferenceServer.start()
  const sync = await startSessionSync(server.url, options)
  return {
    ...sync,
    server,
    lists: () => server.calls('POST', /\/sessions\/sync$/),
    messages: () => server.calls('POST', /\/messages\/sync$/),
    async [Symbol.asyncDispose]() {
      await sync[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

const text = (id: string, words: string) => [{id: `prt_${id}`, type: 'text', text: words}]

test('sessions and the messages of the newest are sent, then only changes', async () => {
  await using one = await ours({limits: {sessions: 2, messages: 2}})
  const {agent, code, syncs} = one
  for (const n of [1, 2, 3]) agent.session({id: `ses_${n}`, directory: code, updated: n * 1000})
  for (const n of [1, 2, 3]) agent.message({id: `msg_${n}`, session: 'ses_3', created: n})
  agent.message({id: 'msg_old', session: 'ses_1'})
  expect(await one.now()).toEqual([
    {codebase_id: one.known.id, directory: code, sessions: 3, changed: 3, removed: 0, messages: 2},
  ])
  expect((await one.listed()).map(({id, messageCount}) => [id, messageCount])).toEqual([
    ['ses_3', 3],
    ['ses_2', 0],
    ['ses_1', 1],
  ])
  expect(await one.texts('ses_3')).toEqual(['msg_2', 'msg_3'])
  expect(await one.texts('ses_1')).toEqual([])
  syncs()

  expect(await one.now()).toMatchObject([{sessions: 3, changed: 0, messages: 0}])
  agent.session({id: 'ses_foreign', directory: '/elsewhere'})
  expect(await one.now()).toMatchObject([{sessions: 3, changed: 0, messages: 0}])
  expect(syncs()).toBe(0)

  agent.message({id: 'msg_3', session: 'ses_3', created: 3, parts: text('msg_3', 'grown')})
  agent.database.exec(`UPDATE session SET title = 'new' WHERE id = 'ses_1'; DELETE FROM session WHERE id = 'ses_2'`)
  expect(await one.now()).toMatchObject([{sessions: 2, changed: 1, removed: 1, messages: 2}])
  expect(syncs()).toBe(3)
  expect((await one.listed()).map(({title}) => title)).toEqual(['about ses_3', 'new'])
  expect(await one.texts('ses_3')).toEqual(['msg_2', 'grown'])
  expect(await one.texts('ses_1')).toEqual(['msg_old'])
  expect(one.notices).toEqual([`Using OpenCode storage at: ${join(one.data, 'opencode.db')}`])
})

test('after a restart nothing is read or sent twice', async () => {
  await using one = await ours()
  one.agent.session({id: 'ses_1', directory: one.code})
  one.agent.message({id: 'msg_1', session: 'ses_1'})
  await one.now()
  one.syncs()
  await one.restart()
  expect(await one.now()).toMatchObject([{sessions: 1, changed: 0, messages: 0}])
  one.agent.session({id: 'ses_2', directory: one.code})
  await one.restart()
  expect(await one.now()).toMatchObject([{sessions: 2, changed: 1, messages: 0}])
  expect(one.syncs()).toBe(1)
  const file = join(one.path, 'sessions.json')
  expect(readFileSync(file, 'utf8')).not.toContain('about ses_1')
  await one.restart()
  writeFileSync(file, '{"basis": "tor')
  await one.restart()
  expect(await one.now()).toMatchObject([{changed: 2, messages: 1}])
})

test('with other redaction patterns everything is sent again, redacted by them', async () => {
  await using one = await ours({secrets: ['sesame-sesame']})
  one.agent.session({id: 'ses_1', directory: one.code, title: 'open sesame-sesame for 4711'})
  one.agent.message({id: 'msg_1', session: 'ses_1', parts: text('msg_1', 'sesame-sesame and 4711')})
  await one.now()
  expect((await one.listed())[0]?.title).toBe('open [redacted] for 4711')
  expect(await one.texts('ses_1')).toEqual(['[redacted] and 4711'])
  await one.restart({patterns: [String.raw`\d{4}`]})
  await one.now()
  expect((await one.listed())[0]?.title).toBe('open [redacted] for [redacted]')
  expect(await one.texts('ses_1')).toEqual(['[redacted] and [redacted]'])
})

test('the existing server gets complete lists, before the messages of a session, and only after a change', async () => {
  await using one = await setUpExistingServer()
  const {agent, code, server} = one
  agent.session({id: 'ses_1', directory: code})
  agent.message({id: 'msg_1', session: 'ses_1'})
  agent.message({id: 'msg_2', session: 'ses_1', created: 1e12, role: 'assistant'})
  await one.now()
  await one.now()
  expect(one.lists().map(({body}) => body)).toEqual([
    {
      worker_id: 'w',
      sessions: [
        {
          id: 'ses_1',
          title: 'about ses_1',
          created: '2026-01-01T00:00:00.000Z',
          updated: '2026-01-01T00:00:00.000Z',
          messageCount: 2,
          directory: code,
          project_id: 'p',
          version: '1.18.33',
          summary: {additions: 1, deletions: 2, files: 3},
        },
      ],
    },
  ])
  expect(one.messages().map(({body}) => body)).toMatchObject([
    {
      worker_id: 'w',
      messages: [{id: 'msg_2', model: 'fake/x', agent: 'build', role: 'assistant'}, {id: 'msg_1'}],
    },
  ])
  expect(server.lostMessages).toEqual([])
  agent.session({id: 'ses_2', directory: code})
  agent.message({id: 'msg_3', session: 'ses_1', created: 2e12})
  await one.now()
  expect(one.lists().at(-1)?.body.sessions).toHaveLength(2)
  expect(one.lists()).toHaveLength(2)
  expect(one.messages().at(-1)?.body.messages).toHaveLength(3)
  expect(one.messages()).toHaveLength(2)
})

test('sessions outside of all codebases belong to the global one', async () => {
  await using one = await setUpExistingServer({withRest: true})
  const below = join(one.code, 'below')
  mkdirSync(below)
  one.agent.session({id: 'ses_code', directory: one.code})
  one.agent.session({id: 'ses_below', directory: below})
  await one.now()
  const lists = one.lists().map(({path, body}) => [path.split('/')[4], body.sessions.map(({id}: {id: string}) => id)])
  expect(lists).toEqual([
    [one.known.id, ['ses_code']],
    ['global', ['ses_below']],
  ])
})

test('a codebase that is a symbolic link has the sessions of its target', async () => {
  await using one = await ours()
  const link = join(one.path, 'link')
  symlinkSync(one.code, link)
  one.agent.session({id: 'ses_1', directory: one.code})
  await one.restart({directories: () => [{codebaseId: one.known.id, directory: link}]})
  expect(await one.now()).toMatchObject([{directory: link, sessions: 1}])
})

test('no messages are synced when either number is 0', async () => {
  for (const most of [
    {sessions: 0, messages: 100},
    {sessions: 3, messages: 0},
  ]) {
    await using one = await setUpExistingServer({limits: most})
    one.agent.session({id: 'ses_1', directory: one.code})
    one.agent.message({id: 'msg_1', session: 'ses_1'})
    await one.now()
    expect(one.lists()).toHaveLength(1)
    expect(one.messages()).toHaveLength(0)
  }
})

test('a codebase unknown to the server is registered again, and all its sessions are sent again', async () => {
  await using one = await ours()
  one.agent.session({id: 'ses_1', directory: one.code})
  await one.now()
  const before = one.known.id
  await one.plane.call('DELETE', `/v1/opencode/codebases/${before}`)
  one.agent.session({id: 'ses_2', directory: one.code})
  expect(await one.now()).toMatchObject([{sessions: 2, changed: 2}])
  expect(one.known.id).not.toBe(before)
  expect(one.known.registrations).toBe(2)
  expect(await one.listed()).toHaveLength(2)
})

test('a codebase that the server keeps refusing is tried twice per sync, and the others are synced', async () => {
  await using one = await setUpExistingServer({withRest: true})
  one.agent.session({id: 'ses_1', directory: one.code})
  one.agent.session({id: 'ses_2', directory: '/elsewhere'})
  one.server.odd = ({path}) =>
    path.includes(one.known.id) && path.endsWith('/sync')
      ? {status: 403, type: 'application/json', text: '{"detail": "belongs to another worker"}'}
      : undefined
  await expect(one.now()).rejects.toThrow(/Cannot sync sessions: belongs to another worker/)
  expect(one.lists().map(({path, status}) => [path.includes('global'), status])).toEqual([
    [false, 403],
    [false, 403],
    [true, 200],
  ])
  expect(one.known.registrations).toBe(2)
  one.server.odd = () => undefined
  expect(await one.now()).toMatchObject([{changed: 1}, {changed: 0}])
})

test('a server without a route is not asked again for an hour', async () => {
  for (const [status, detail] of [
    [404, 'Not Found'],
    [405, 'Method Not Allowed'],
  ] as const) {
    await using one = await setUpExistingServer()
    one.agent.session({id: 'ses_1', directory: one.code})
    one.agent.message({id: 'msg_1', session: 'ses_1'})
    one.server.odd = ({path}) =>
      path.endsWith('/messages/sync') ? {status, type: 'application/json', text: JSON.stringify({detail})} : undefined
    await one.now()
    one.agent.message({id: 'msg_2', session: 'ses_1'})
    await one.now()
    expect(one.lists()).toHaveLength(2)
    expect(one.messages()).toHaveLength(1)
    expect(one.known.registrations).toBe(1)
    expect(one.notices.at(-1)).toBe('The server accepts no messages. They are offered again in an hour.')
  }
})

test('permanently refused items are skipped with a warning, and a temporary failure is retried', async () => {
  await using one = await setUpExistingServer()
  one.agent.session({id: 'ses_1', directory: one.code})
  one.agent.message({id: 'msg_1', session: 'ses_1'})
  one.server.odd = ({path}) =>
    path.endsWith('/messages/sync')
      ? {status: 422, type: 'application/json', text: '{"detail": "a strange message"}'}
      : undefined
  expect(await one.now()).toMatchObject([{changed: 1}])
  expect(one.notices.at(-1)).toMatch(/a strange message.* It is skipped\./)
  one.agent.session({id: 'ses_2', directory: one.code})
  one.server.odd = () => ({status: 500, text: 'oops'})
  await expect(one.now()).rejects.toThrow(/oops/)
  one.server.odd = () => undefined
  expect(await one.now()).toMatchObject([{changed: 1, messages: 0}])
})

test('a long first sync is sent in several requests', async () => {
  await using one = await ours()
  const title = 'x'.repeat(500)
  one.agent.database.exec('BEGIN')
  for (let i = 0; i < 2000; i++) one.agent.session({id: `ses_${i}`, directory: one.code, title, updated: i})
  for (let i = 0; i < 10; i++)
    one.agent.message({id: `msg_${i}`, session: 'ses_1999', created: i, parts: text(`msg_${i}`, title.repeat(200))})
  one.agent.database.exec('COMMIT')
  expect(await one.now()).toMatchObject([{sessions: 2000, changed: 2000, messages: 10}])
  expect(one.syncs()).toBeGreaterThan(8)
  expect(await one.listed()).toHaveLength(1000)
  expect(await one.texts('ses_1999')).toHaveLength(10)
  expect(await one.now()).toMatchObject([{sessions: 2000, changed: 0, messages: 0}])
})

test('the JSON files of an older OpenCode are synced like its database', async () => {
  await using one = await ours()
  const tree = agentTree(join(one.path, 'storage'))
  tree.session({id: 'ses_1', directory: one.code})
  tree.message({id: 'msg_1', session: 'ses_1'})
  await one.restart({storage: {setting: join(one.path, 'storage'), env: {}, home: one.path}})
  expect(await one.now()).toMatchObject([{sessions: 1, changed: 1, messages: 1}])
  expect(await one.now()).toMatchObject([{sessions: 1, changed: 0, messages: 0}])
  tree.message({id: 'msg_1', session: 'ses_1', parts: text('msg_1', 'grown')})
  expect(await one.now()).toMatchObject([{messages: 1}])
  expect(await one.texts('ses_1')).toEqual(['grown'])
})

test('a storage that is removed or replaced is no failure, and the new one is synced', async () => {
  await using one = await ours()
  one.agent.session({id: 'ses_1', directory: one.code})
  await one.now()
  one.agent.database.close()
  rmSync(one.data, {recursive: true})
  mkdirSync(one.data)
  expect(await one.now()).toEqual([])
  expect(await one.listed()).toHaveLength(1)
})

test('the session of a running task is synced at once, at each change, and once more at its end', async () => {
  await using one = await ours()
  const {agent, code, bus} = one
  const stop = new AbortController()
  const running = one.run(stop.signal)
  await until(() => one.notices.length > 0, 'the first sync')
  const task = {id: 't', codebase: code, phase: 'running', sessionId: 'ses_1'}
  agent.session({id: 'ses_1', directory: code, title: 'live'})
  agent.message({id: 'msg_1', session: 'ses_1', parts: text('msg_1', 'a')})
  one.active.push(task)
  bus.emit({type: 'task.session', taskId: 't', sessionId: 'ses_1'})
  const shows = (words: string) => until(async () => (await one.texts('ses_1')).join(' ') === words, words)
  await shows('a')
  expect((await one.listed())[0]?.title).toBe('live')
  for (const words of ['a b', 'a b c', 'a b c d']) {
    agent.message({id: 'msg_1', session: 'ses_1', parts: text('msg_1', words)})
    await shows(words)
  }

  one.syncs()
  const before = one.naps()
  await until(() => one.naps() > before + 5, 'some looks at what has not changed')
  expect(one.syncs()).toBe(0)
  agent.message({id: 'msg_2', session: 'ses_1', created: 2e12, parts: text('msg_2', 'the end')})
  one.active.splice(0)
  stop.abort()
  await running
  expect(await one.texts('ses_1')).toEqual(['a b c d', 'the end'])
})

test('a problem of reading sessions is logged once until it is solved', async () => {
  await using one = await ours({clock: fastClock(1000)})
  const setting = join(one.path, 'later')
  const problems = () => one.notices.filter((text) => text.includes('does not exist'))
  await one.restart({storage: {setting, env: {}, home: one.path}})
  const stop = new AbortController()
  const running = one.run(stop.signal)
  // The syncs of three minutes.
  const threeMinutes = fastClock(1000).sleep(200_000)
  await until(() => problems().length > 0, 'the warning')
  await threeMinutes
  expect(problems()).toEqual([expect.stringMatching(/later does not exist\. Correct opencode_storage_path/)])
  using there = agentDatabase(join(setting, 'opencode.db'))
  there.session({id: 'ses_1', directory: one.code})
  await until(async () => (await one.listed()).length === 1, 'the sessions')
  there.database.close()
  rmSync(setting, {recursive: true})
  await until(() => problems().length === 2, 'the warning once more')
  stop.abort()
  await running
})

test('a storage that stays busy causes a warning after a while', async () => {
  await using one = await ours({clock: fastClock(1000)})
  one.agent.session({id: 'ses_1', directory: one.code})
  const file = join(one.data, 'opencode.db')
  one.agent.database.exec('PRAGMA journal_mode = DELETE')
  one.agent.database.exec('BEGIN EXCLUSIVE')
  const stop = new AbortController()
  const running = one.run(stop.signal)
  await until(() => one.notices.some((text) => text.includes(`${file} cannot be read now: database is locked`)), 'it')
  one.agent.database.exec('COMMIT')
  await until(async () => (await one.listed()).length === 1, 'the sessions')
  stop.abort()
  await running
})

test('a file that is no database is logged once, and never touched', async () => {
  await using one = await ours({clock: fastClock(1000)})
  one.agent.database.close()
  const file = join(one.path, 'broken.db')
  writeFileSync(file, 'no database '.repeat(1000))
  await one.restart({storage: {setting: file, env: {}, home: one.path}})
  const stop = new AbortController()
  const running = one.run(stop.signal)
  const problems = () => one.notices.filter((text) => text.includes('file is not a database'))
  await until(() => problems().length > 0, 'the warning')
  const before = one.naps()
  await until(() => one.naps() > before + 5, 'some more looks')
  stop.abort()
  await running
  expect(problems()).toHaveLength(1)
  expect(readFileSync(file, 'utf8')).toBe('no database '.repeat(1000))
})

test('the existing server gets the messages of a running session, and the list when the session is new and when it ends', async () => {
  await using one = await setUpExistingServer()
  const {agent, code, bus} = one
  const stop = new AbortController()
  const running = one.run(stop.signal)
  agent.session({id: 'ses_1', directory: code})
  agent.message({id: 'msg_1', session: 'ses_1'})
  one.active.push({id: 't', codebase: code, phase: 'running', sessionId: 'ses_1'})
  bus.emit({type: 'task.session', taskId: 't', sessionId: 'ses_1'})
  await until(() => one.messages().length === 1, 'the first message')
  for (const n of [2, 3]) {
    agent.message({id: `msg_${n}`, session: 'ses_1', created: n * 1e12})
    await until(() => one.messages().length === n, 'one more')
  }

  expect(one.lists()).toHaveLength(1)
  one.active.splice(0)
  bus.emit({type: 'task.finished', taskId: 't', status: 'completed', ms: 1, error: null, cost: 0})
  await until(() => one.lists().length === 2, 'the list')
  expect(one.lists()[1]?.body.sessions).toMatchObject([{id: 'ses_1', messageCount: 3}])
  stop.abort()
  await running
  expect(one.lists()).toHaveLength(2)
  expect(one.server.lostMessages).toEqual([])
})
