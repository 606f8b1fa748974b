import {expect, test} from 'vitest'
import {limits} from '../../../src/lib/protocol/limits.ts'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Api} from '../support/api.ts'
import {scratch, startPlane} from '../support/plane.ts'

async function synced(options: Parameters<typeof startPlane>[0] = {}) {
  const plane = await startPlane(options)
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/a')
  const sync = (sessions: unknown, more: object = {}) =>
    api.post('sessionsSync', {codebase}, {worker_id: 'w', sessions, ...more})
  const syncMessages = (session: string, messages: unknown, more: object = {}) =>
    api.post('messagesSync', {codebase, session}, {worker_id: 'w', messages, ...more})
  const list = async (query = {}) => (await api.get('sessions', {codebase}, {query})).body
  const ids = async () => (await list()).sessions.map(({id}: {id: string}) => id)
  const messages = async (session: string, query = {}) => api.get('messages', {codebase, session}, {query})
  return {
    plane,
    api,
    codebase,
    sync,
    syncMessages,
    list,
    ids,
    messages,
    [Symbol.asyncDispose]: () => plane.close(),
  }
}

const session = (id: string, updated: unknown = '2026-01-01T00:00:00Z', more: object = {}) => ({
  id,
  title: `about ${id}`,
  updated,
  ...more,
})
const message = (id: string, created: unknown, text = id) => ({
  id,
  role: 'user',
  time: {created},
  parts: [{id: `prt_${id}`, type: 'text', text}],
})

test('a full list replaces the stored sessions, in the shape of the existing server', async () => {
  await using one = await synced()
  const {sync, ids, api, codebase} = one
  const whole = session('ses_1', '2026-01-02T00:00:00', {
    created: 1_735_689_600,
    directory: '/a',
    project_id: 'p',
    summary: {files: 3},
    version: '1.18.0',
    messageCount: 12,
  })
  expect((await sync([whole, session('ses_2')])).body).toEqual({success: true, sessions_count: 2, synced: 2})
  expect((await one.list()).sessions).toMatchObject([{id: 'ses_1'}, {id: 'ses_2', title: 'about ses_2'}])
  expect((await api.get('session', {codebase, session: 'ses_1'})).body).toEqual({
    id: 'ses_1',
    codebase_id: codebase,
    worker_id: 'w',
    title: 'about ses_1',
    directory: '/a',
    project_id: 'p',
    version: '1.18.0',
    summary: {files: 3},
    created: '2025-01-01T00:00:00.000Z',
    created_at: '2025-01-01T00:00:00.000Z',
    updated: '2026-01-02T00:00:00.000Z',
    updated_at: '2026-01-02T00:00:00.000Z',
    messageCount: 12,
  })
  await one.syncMessages('ses_1', [message('m', 1)])
  await sync([session('ses_2'), session('ses_3')])
  expect((await ids()).sort()).toEqual(['ses_2', 'ses_3'])
  expect((await one.messages('ses_1')).body.messages).toEqual([])
  await sync([])
  expect(await one.list()).toMatchObject({sessions: [], source: 'worker_sync', synced_at: expect.any(String)})
})

test('a delta adds, changes and deletes sessions, and leaves the others unchanged', async () => {
  await using one = await synced()
  await one.sync([session('a'), session('b'), session('c')])
  const changed = session('b', '2026-02-01T00:00:00Z', {title: 'new'})
  const answer = await one.sync([changed, session('d')], {partial: true, deleted: ['c', 'nothing']})
  expect(answer.body).toMatchObject({success: true, sessions_count: 2})
  expect((await one.ids()).sort()).toEqual(['a', 'b', 'd'])
  expect((await one.list()).sessions[0]).toMatchObject({id: 'b', title: 'new'})
  const {features} = (await one.api.registerOwn('w')).body
  expect(features).toContain('sessions-delta')
})

test('times are accepted in many formats and returned in one', async () => {
  await using one = await synced()
  const forms = [
    ['2026-01-02T03:04:05.678901', '2026-01-02T03:04:05.678Z'],
    ['2026-01-02T03:04:05+02:00', '2026-01-02T01:04:05.000Z'],
    ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05.000Z'],
    [1_767_323_045, '2026-01-02T03:04:05.000Z'],
    [1_767_323_045_678, '2026-01-02T03:04:05.678Z'],
    ['yesterday', null],
    [1e300, null],
    [null, null],
  ]
  for (const [created, expected] of forms) {
    for (const key of ['created', 'created_at']) {
      await one.sync([{id: 'x', [key]: created}])
      expect((await one.list()).sessions[0]).toMatchObject({id: 'x', title: 'Untitled', created: expected})
    }
    await one.sync([])
  }
})

test('the newest messages are returned, in order, and the cursor points to older ones', async () => {
  await using one = await synced()
  await one.sync([session('s')])
  const ids = Array.from({length: 7}, (_, i) => `m${i}`)
  const all = ids.map((id, i) => message(id, `2026-01-01T00:00:0${i}`))
  expect((await one.syncMessages('s', all)).body).toMatchObject({success: true, messages_count: 7})
  const page = await one.messages('s', {limit: 3})
  expect(page.body).toMatchObject({session_id: 's', source: 'worker_sync', synced_at: expect.any(String)})
  const shown = ({body}: typeof page) => body.messages.map(({id}: {id: string}) => id)
  expect(shown(page)).toEqual(['m4', 'm5', 'm6'])
  const older = await one.messages('s', {limit: 3, cursor: page.headers.get('x-next-cursor')})
  expect(shown(older)).toEqual(['m1', 'm2', 'm3'])
  const oldest = await one.messages('s', {limit: 3, cursor: older.headers.get('x-next-cursor')})
  expect(shown(oldest)).toEqual(['m0'])
  expect(oldest.headers.get('x-next-cursor')).toBeNull()
  expect((await one.messages('s')).body.messages).toHaveLength(7)
  expect((await one.messages('nothing')).body.messages).toEqual([])
  expect((await one.messages('s', {limit: 'x'})).status).toBe(400)
  expect((await one.messages('s', {cursor: 'x'})).status).toBe(400)
})

test('messages replace the stored ones of their session; with partial they are added by id', async () => {
  await using one = await synced()
  await one.sync([session('s'), session('other')])
  await one.syncMessages('other', [message('o', 1)])
  await one.syncMessages('s', [message('a', 1), message('b', 2)])
  await one.syncMessages('s', [message('b', 2, 'longer'), message('c', 3)], {partial: true})
  const texts = async () =>
    (await one.messages('s')).body.messages.map(({parts}: {parts: {text: string}[]}) => parts[0]?.text)
  expect(await texts()).toEqual(['a', 'longer', 'c'])
  await one.syncMessages('s', [message('c', 3)])
  expect(await texts()).toEqual(['c'])
  expect((await one.messages('other')).body.messages).toHaveLength(1)
})

test('a message is stored with all its fields, and its model is one string from any field', async () => {
  await using one = await synced()
  const {body} = await one.syncMessages('s', [
    {...message('a', 1), model: {providerID: 'p', modelID: 'm'}, tokens: {input: 1}, tool_calls: []},
    {...message('b', 2), providerID: 'p', modelID: 'n', cost: 0.5},
    {...message('c', 3), model: 'p/x', agent: 'build'},
    {id: 'd', role: 'user', time: null, parts: null},
  ])
  expect(body.messages_count).toBe(4)
  expect((await one.messages('s')).body.messages).toMatchObject([
    {id: 'a', sessionID: 's', model: 'p/m', tokens: {input: 1}, time: {created: '1970-01-01T00:00:01.000Z'}},
    {id: 'b', model: 'p/n', cost: 0.5, parts: [{text: 'b'}]},
    {id: 'c', model: 'p/x', agent: 'build'},
    {id: 'd', model: null, parts: []},
  ])
})

test('messages of an unlisted session create it', async () => {
  await using one = await synced()
  await one.syncMessages('ses_new', [message('a', '2026-03-01T00:00:00Z')])
  expect((await one.list()).sessions).toMatchObject([
    {id: 'ses_new', title: 'Untitled', updated: '2026-03-01T00:00:00.000Z', messageCount: 1},
  ])
  await one.sync([session('ses_new', '2026-03-02T00:00:00Z')])
  expect((await one.messages('ses_new')).body.messages).toHaveLength(1)
})

test('sessions are paged, newest first', async () => {
  await using one = await synced()
  const {api, codebase} = one
  await one.sync([3, 1, 5, 2, 4].map((day) => session(`s${day}`, `2026-01-0${day}T00:00:00Z`)))
  const ids: string[] = []
  let cursor: string | null = null
  do {
    const page = await api.get('sessions', {codebase}, {query: {limit: 2, ...(cursor ? {cursor} : {})}})
    ids.push(...page.body.sessions.map(({id}: {id: string}) => id))
    cursor = page.headers.get('x-next-cursor')
  } while (cursor)

  expect(ids).toEqual(['s5', 's4', 's3', 's2', 's1'])
})

test('storage is bounded: the newest sessions and messages, and no giant message', async () => {
  await using one = await synced()
  const day = (i: number) => 1_700_000_000 + i
  const many = Array.from({length: limits.sessions + 10}, (_, i) => session(`s${i}`, day(i)))
  await one.sync(many)
  await one.sync([session('late', day(999_999))], {partial: true})
  expect((await one.list({limit: 1})).sessions[0].id).toBe('late')
  const stats = await one.api.get('session', {codebase: one.codebase, session: 's10'})
  expect(stats.status).toBe(404)
  expect((await one.api.get('session', {codebase: one.codebase, session: 's11'})).status).toBe(200)

  const messages = Array.from({length: limits.messages + 5}, (_, i) => message(`m${i}`, day(i)))
  await one.syncMessages('late', messages)
  await one.syncMessages('late', [message('last', day(9_999_999))], {partial: true})
  const stored = (await one.messages('late', {limit: 1000})).body.messages
  expect(stored.at(-1).id).toBe('last')
  await one.syncMessages('late', [message('giant', 1, 'x'.repeat(limits.message))])
  expect((await one.messages('late')).body.messages).toMatchObject([{id: 'giant', parts: [], truncated: true}])
})

test('bad input is refused with the usual errors', async () => {
  await using one = await synced()
  const {api, codebase} = one
  expect((await api.post('sessionsSync', {codebase}, {worker_id: 'w'})).body.detail).toEqual([
    {type: 'missing', loc: ['body', 'sessions'], msg: 'Field required', input: null},
  ])
  for (const sessions of [{}, [1], [{}], [{id: ''}], [{id: 'x'.repeat(256)}], [{id: 'x', created: {}}]])
    expect((await one.sync(sessions)).status).toBe(422)
  for (const messages of [{}, [1], [{}], [{id: 'm', parts: 'x'}]])
    expect((await one.syncMessages('s', messages)).status).toBe(422)
  expect((await one.sync([], {partial: 'yes'})).status).toBe(422)
  const params = {codebase: 'nothing', session: 's'}
  const body = {worker_id: 'w', sessions: [], messages: []}
  for (const route of ['sessionsSync', 'messagesSync'] as const)
    expect(await api.post(route, params, body)).toMatchObject({status: 404, body: {detail: 'Codebase not found'}})
  for (const route of ['sessions', 'messages', 'session'] as const)
    expect((await api.get(route, params)).status).toBe(404)
  expect((await api.get('session', {codebase, session: 'x'})).body.detail).toBe('Session not found')
  const huge = {worker_id: 'w', sessions: [{id: 'x', title: 'x'.repeat(limits.syncBody)}]}
  expect((await api.post('sessionsSync', {codebase}, huge)).status).toBe(413)
})

test("only the codebase's own worker syncs it, and a worker reads only its own sessions", async () => {
  await using plane = await startPlane({
    tokens: parseTokens('me:admin,1/worker=w1:token-1,2/worker=w2:token-2,ci/client:client'),
  })
  const [admin, one, two, client] = ['admin', 'token-1', 'token-2', 'client'].map(
    (token) => new Api(plane.url, token),
  ) as [Api, Api, Api, Api]
  await one.registerOwn('w1')
  await two.registerOwn('w2')
  const codebase = await one.codebase('w1', '/a')
  const params = {codebase, session: 's'}
  const sync = (api: Api, worker_id: string) =>
    api.post('sessionsSync', {codebase}, {worker_id, sessions: [session('s')]})
  expect((await sync(one, 'w1')).status).toBe(200)
  expect((await sync(two, 'w1')).status).toBe(403)
  expect((await sync(two, 'w2')).body.detail).toBe(`Codebase ${codebase} belongs to another worker`)
  expect((await sync(client, 'w1')).status).toBe(403)
  expect((await two.post('messagesSync', params, {worker_id: 'w2', messages: []})).status).toBe(403)
  expect((await new Api(plane.url).get('sessions', {codebase})).status).toBe(401)
  for (const api of [admin, one, client])
    for (const route of ['sessions', 'session', 'messages'] as const)
      expect((await api.get(route, params)).status).toBe(200)
  for (const route of ['sessions', 'session', 'messages'] as const)
    expect((await two.get(route, params)).status).toBe(403)
})

test("`global` stands for each worker's own global sessions", async () => {
  await using plane = await startPlane({tokens: parseTokens('me:admin,1/worker=w1:token-1,2/worker=w2:token-2')})
  const [admin, one, two] = ['admin', 'token-1', 'token-2'].map((token) => new Api(plane.url, token)) as [Api, Api, Api]
  expect((await admin.get('sessions', {codebase: 'global'})).status).toBe(404)
  await one.registerOwn('w1')
  const home = await one.codebase('w1', '/home/one', {name: 'global'})
  await one.registerOwn('w1', {global_codebase_id: home})
  await two.registerOwn('w2')
  const sync = (api: Api, worker_id: string, codebase: string, id: string) =>
    api.post('sessionsSync', {codebase}, {worker_id, sessions: [session(id)]})
  await sync(one, 'w1', 'global', 'ses_1')
  await sync(two, 'w2', 'global', 'ses_2')
  await one.post('messagesSync', {codebase: 'global', session: 'ses_1'}, {worker_id: 'w1', messages: [message('m', 1)]})
  const ids = async (api: Api, codebase: string) =>
    (await api.get('sessions', {codebase})).body.sessions.map(({id}: {id: string}) => id).sort()
  expect(await ids(admin, home)).toEqual(['ses_1'])
  expect(await ids(admin, 'global')).toEqual(['ses_1', 'ses_2'])
  expect(await ids(two, 'global')).toEqual(['ses_2'])
  expect((await admin.get('messages', {codebase: 'global', session: 'ses_1'})).body.messages).toHaveLength(1)
  expect((await sync(admin, 'unknown', 'global', 'x')).status).toBe(404)

  const resumed = await admin.post('sessionResume', {codebase: 'global', session: 'ses_1'}, {prompt: 'on'})
  expect(resumed.body.task.codebase_id).toBe(home)
  const apart = await admin.post('sessionResume', {codebase: 'global', session: 'ses_2'}, {prompt: 'on'})
  expect(apart.body.task.codebase_id).toBe('global')
})

test('resume creates a task that names the session', async () => {
  await using one = await synced({tokens: [{name: 'a', scope: 'admin', token: 't'}], auth: 'stream-only'})
  const {api, codebase} = one
  const params = {codebase, session: 'ses_1'}
  const resume = (body?: object, headers = {}) => api.post('sessionResume', params, body, {headers})
  const {body} = await resume({prompt: 'And now?', agent: 'plan', model: 'a/b'})
  expect(body).toMatchObject({success: true, session_id: 'ses_1', task_id: body.task.id, agent: 'plan'})
  expect(body.task).toMatchObject({
    prompt: 'And now?',
    agent_type: 'plan',
    model: 'a/b',
    status: 'pending',
    metadata: {resume_session_id: 'ses_1', model: 'a/b'},
  })
  expect((await resume()).body.task).toMatchObject({agent_type: 'build', prompt: 'Continue where you left off.'})
  expect((await resume({agent: ''})).status).toBe(422)
  expect((await resume({prompt: 'x'.repeat(limits.prompt + 1)})).status).toBe(413)
  expect((await api.post('sessionResume', {codebase: 'x', session: 's'}, {})).status).toBe(404)
  const headers = {'idempotency-key': 'k'}
  const twice = await Promise.all([resume({prompt: 'p'}, headers), resume({prompt: 'p'}, headers)])
  expect(twice[0]?.body.task_id).toBe(twice[1]?.body.task_id)
})

test("a worker's token cannot resume sessions", async () => {
  await using plane = await startPlane({tokens: parseTokens('w/worker=w:worker,ci/client:client')})
  const [worker, client] = [new Api(plane.url, 'worker'), new Api(plane.url, 'client')]
  await worker.registerOwn('w')
  const params = {codebase: await worker.codebase('w', '/a'), session: 's'}
  expect((await worker.post('sessionResume', params, {})).status).toBe(403)
  expect((await client.post('sessionResume', params, {})).status).toBe(200)
})

test('sessions are removed with their codebase, and survive a restart', async () => {
  await using folder = await scratch()
  const database = folder.file('plane.db')
  let codebase = ''
  {
    await using one = await synced({database})
    codebase = one.codebase
    await one.sync([session('s')])
    await one.syncMessages('s', [message('m', 1)])
  }

  await using plane = await startPlane({database})
  const api = new Api(plane.url)
  expect((await api.get('messages', {codebase, session: 's'})).body.messages).toHaveLength(1)
  await api.send('DELETE', `/v1/opencode/codebases/${codebase}`)
  expect((await api.get('sessions', {codebase})).status).toBe(404)
})
