import {expect, test} from 'vitest'
import {pathTo} from '../../../src/lib/protocol/routes.ts'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Api} from '../support/api.ts'
import {Listener, openStream} from '../support/events.ts'
import {startPlane, until} from '../support/plane.ts'

type Message = Record<string, unknown> & {content: string; type: string}

async function monitored(options: Parameters<typeof startPlane>[0] = {}) {
  const plane = await startPlane(options)
  const api = new Api(plane.url)
  await api.registerOwn('w', {name: 'box', global_codebase_id: 'g'})
  const messages = async (query = {}): Promise<Message[]> => (await api.get('monitorMessages', {}, {query})).body
  const contents = async (query = {}) => (await messages(query)).map(({content}) => content)
  return {plane, api, messages, contents, [Symbol.asyncDispose]: () => plane.close()}
}

const usage = {input: 10, output: 5, reasoning: 1, cost: 0.1}

test('the log records activity: one message per worker connection, tasks, and their output', async () => {
  await using one = await monitored()
  const {api} = one
  {
    await using stream = await openStream(api, 'w')
    for (let minute = 0; minute < 3; minute++) await api.registerOwn('w', {name: 'box', global_codebase_id: 'g'})
    const {id} = await api.create('global', {title: 'Fix it'})
    await stream.pushed(id)
    await api.claim(id, 'w')
    await api.output(id, 'w', '{"type":"tool_use"}\n{"type":"tool_use"}\n')
    await api.report(id, 'w', 'completed', {usage})
    expect((await one.messages()).at(-1)).toMatchObject({
      type: 'system',
      metadata: {task_id: id, codebase_id: 'global', worker_id: 'w', attempt: 1, status: 'completed'},
      tokens: 16,
      response_time: expect.any(Number),
      error: null,
    })
  }

  await until(async () => (await one.contents()).length === 6)
  expect(await one.contents()).toEqual([
    "Worker 'box' connected from box",
    "Task 'Fix it' status: created",
    "Task 'Fix it' status: running",
    '{"type":"tool_use"}\n{"type":"tool_use"}\n',
    "Task 'Fix it' status: completed",
    "Worker 'box' disconnected from box",
  ])
  expect((await one.messages({type: 'agent'}))[0]).toMatchObject({
    agent_name: 'Agent Output',
    metadata: {streaming: true, worker_id: 'w'},
  })
})

test('the statistics count messages, tool calls, errors, tokens and times', async () => {
  await using one = await monitored()
  const {api} = one
  const [good, bad, never] = [await api.create('global'), await api.create('global'), await api.create('global')]
  for (const {id} of [good, bad]) await api.claim(id, 'w')
  await api.output(good.id, 'w', '{"type":"tool_use"}\n'.repeat(3))
  await api.report(good.id, 'w', 'completed', {usage})
  await api.report(bad.id, 'w', 'failed', {error: 'no'})
  await api.post('taskCancel', {task: never.id})
  const {body} = await api.get('monitorStats')
  expect(body).toEqual({
    total_messages: 9,
    tool_calls: 3,
    errors: 1,
    tokens: 16,
    avg_response_time: expect.any(Number),
    active_agents: 1,
    interventions: 0,
  })
  expect((await one.messages({type: 'error'}))[0]).toMatchObject({error: 'no', metadata: {status: 'failed'}})
  expect((await api.get('monitorAgents')).body).toEqual([
    {id: 'w', name: 'box', status: 'active', messages_count: 5, last_seen: expect.any(String)},
  ])
})

test('messages can be counted, searched, filtered and paged', async () => {
  await using one = await monitored()
  const {api} = one
  for (const title of ['Alpha', 'Beta', 'alphabet']) await api.create('global', {title})
  expect((await api.get('monitorMessageCount')).body).toEqual({total: 3, type_filter: null})
  expect((await api.get('monitorMessageCount', {}, {query: {type: 'agent'}})).body).toEqual({
    total: 0,
    type_filter: 'agent',
  })
  const search = (query: Record<string, string | number>) => api.get('monitorSearch', {}, {query})
  expect((await search({q: 'ALPHA'})).body).toMatchObject({
    query: 'ALPHA',
    count: 2,
    results: [{content: "Task 'Alpha' status: created"}, {content: "Task 'alphabet' status: created"}],
  })
  expect((await search({q: 'alpha', limit: 1})).body.results).toMatchObject([{content: /alphabet/}])
  expect(await search({})).toMatchObject({status: 422, body: {detail: [{type: 'missing', loc: ['query', 'q']}]}})
  expect((await search({q: 'a', limit: 'x'})).status).toBe(400)

  const newest = await api.get('monitorMessages', {}, {query: {limit: 2}})
  expect(newest.body.map(({content}: Message) => content)).toEqual([
    "Task 'Beta' status: created",
    "Task 'alphabet' status: created",
  ])
  const cursor = newest.headers.get('x-next-cursor') ?? ''
  const older = await api.get('monitorMessages', {}, {query: {limit: 2, cursor, use_cache: 'false'}})
  expect(older.body).toHaveLength(1)
  expect(older.headers.get('x-next-cursor')).toBeNull()
  expect((await api.get('monitorMessages', {}, {query: {cursor: 'x'}})).status).toBe(400)
})

test('the log is bounded in messages and in bytes', async () => {
  await using one = await monitored()
  const {api} = one
  const {id} = await api.create('global')
  await api.claim(id, 'w')
  const hundred = () => Promise.all(Array.from({length: 100}, () => api.output(id, 'w', 'x'.repeat(3000))))
  for (let i = 0; i < 40; i++) await hundred()
  const {total} = (await api.get('monitorMessageCount')).body
  expect(total).toBeLessThan(3700)
  expect(total).toBeGreaterThan(2000)
  expect((await api.get('monitorStats')).body.total_messages).toBe(4002)
  expect((await one.contents({limit: 1}))[0]).toMatch(/^x{2048}… \(952 more characters\)$/)
})

test('the stream sends activity as unnamed events, and after a reconnect the events that were missed', async () => {
  await using one = await monitored({timings: {keepAliveMs: 20}})
  const {api} = one
  await api.create('global', {title: 'before'})
  await using live = await Listener.open(api, pathTo('monitorStream'))
  await until(() => live.data('agent_status').length === 1)
  expect(live.data('message')[0]).toMatchObject({type: 'connected'})
  expect(live.data('agent_status')[0].agents).toMatchObject([{id: 'w', name: 'box'}])
  await api.create('global', {title: 'one'})
  await api.create('global', {title: 'two'})
  const titles = (reader: Listener) =>
    reader
      .data('message')
      .flatMap(({content}) => content ?? [])
      .join()
  await until(() => titles(live).includes('two'))
  expect(titles(live)).toBe("Task 'one' status: created,Task 'two' status: created")
  const lastButOne = live.events.filter(({id}) => id !== undefined).at(-2)?.id ?? ''
  await using back = await Listener.open(api, pathTo('monitorStream'), {'last-event-id': lastButOne})
  await until(() => titles(back).includes('two'))
  expect(titles(back)).toBe("Task 'two' status: created")
  await using stream = await openStream(api, 'w')
  expect(stream.response.status).toBe(200)
  await until(() => live.data('agent_status').length === 2)
  expect(live.data('message').at(-1)).not.toHaveProperty('event')
})

test('exports contain all messages, and no cell that a spreadsheet would run', async () => {
  await using one = await monitored()
  const {api} = one
  const {id} = await api.create('global', {title: 'a "quoted", title\nof two lines'})
  await api.claim(id, 'w')
  for (const formula of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', ' =1', 'harmless']) await api.output(id, 'w', formula)
  const json = await api.get('monitorExportJson')
  expect(json.headers.get('content-disposition')).toBe('attachment; filename="messages.json"')
  expect(json.body).toEqual(await one.messages())

  const csv = await api.get('monitorExportCsv')
  expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8')
  const text: string = csv.body
  expect(text.split('\r\n')[0]).toBe(
    '"id","timestamp","type","agent_name","content","response_time","tokens","error","metadata"',
  )
  expect(text).toContain(`"Task 'a ""quoted"", title\nof two lines' status: created"`)
  for (const defused of [`"'=1+1"`, `"'+1"`, `"'-1"`, `"'@SUM(A1)"`, `"'\t=1"`, `"' =1"`, '"harmless"'])
    expect(text).toContain(`"Agent Output",${defused},`)
  expect(text).not.toMatch(/(^|,)"[=+\-@\t]/m)
})

test('an intervention answers that nobody receives it', async () => {
  await using one = await monitored()
  const intervene = (body: object) => one.api.post('monitorIntervene', {}, body)
  const {body} = await intervene({agent_id: 'w', message: 'stop', timestamp: '2026-01-01T00:00:00Z'})
  expect(body).toMatchObject({
    success: false,
    message: expect.stringContaining('Cancel its task'),
    intervention: {agent_id: 'w', message: 'stop', delivered: false},
  })
  expect((await one.messages())[0]).toMatchObject({type: 'human', content: 'stop', agent_name: 'w'})
  expect((await one.api.get('monitorStats')).body.interventions).toBe(1)
  expect((await intervene({agent_id: 'nobody', message: 'x'})).body.detail).toBe('Agent not found')
  expect((await intervene({agent_id: 'w'})).status).toBe(422)
})

test("a worker's token does not read the activity of others; a dump needs a token even where reading does not", async () => {
  const tokens = parseTokens('me:admin,w/worker:worker,ci/client:client')
  const all = [
    'monitorMessages',
    'monitorExportJson',
    'monitorExportCsv',
    'databaseWorkers',
    'databaseCodebases',
    'databaseSessions',
  ] as const
  {
    await using plane = await startPlane({tokens})
    for (const route of all) {
      expect((await new Api(plane.url).get(route)).status).toBe(401)
      expect((await new Api(plane.url, 'worker').get(route)).status).toBe(403)
      for (const token of ['admin', 'client']) expect((await new Api(plane.url, token).get(route)).status).toBe(200)
    }

    const worker = new Api(plane.url, 'worker')
    expect((await worker.get('monitorSearch', {}, {query: {q: 'x'}})).status).toBe(403)
    expect((await worker.get('monitorStream')).status).toBe(403)
    expect((await worker.post('monitorIntervene', {}, {agent_id: 'w', message: 'x'})).status).toBe(403)
    expect((await worker.get('monitorStats')).status).toBe(200)
    expect((await new Api(plane.url).get('agentCard')).status).toBe(200)
  }

  await using plane = await startPlane({tokens, auth: 'stream-only'})
  const nobody = new Api(plane.url)
  expect((await nobody.get('monitorMessages')).status).toBe(200)
  for (const route of ['monitorExportJson', 'monitorExportCsv'] as const) {
    expect((await nobody.get(route)).status).toBe(401)
    expect((await new Api(plane.url, 'client').get(route)).status).toBe(200)
  }
})

test('the database routes show the content of the database', async () => {
  await using one = await monitored()
  const {api} = one
  const codebase = await api.codebase('w', '/a')
  await api.create(codebase)
  const sessions = [1, 2, 3].map((n) => ({id: `s${n}`, updated: n}))
  await api.post('sessionsSync', {codebase}, {worker_id: 'w', sessions})
  expect((await api.get('databaseStatus')).body).toMatchObject({
    available: true,
    message: expect.any(String),
    stats: {workers: 1, codebases: 1, tasks: 1, sessions: 3},
    size_bytes: expect.any(Number),
  })
  expect((await api.get('databaseWorkers')).body).toMatchObject({
    workers: [{worker_id: 'w'}],
    total: 1,
    source: 'sqlite',
  })
  expect((await api.get('databaseCodebases')).body).toMatchObject({codebases: [{id: codebase}], total: 1})
  const page = await api.get('databaseSessions', {}, {query: {limit: 1, offset: 1}})
  expect(page.body).toMatchObject({sessions: [{id: 's2', codebase_id: codebase}], total: 3})
  const cursor = page.headers.get('x-next-cursor') ?? ''
  expect((await api.get('databaseSessions', {}, {query: {cursor}})).body.sessions).toMatchObject([{id: 's1'}])
  expect((await api.get('databaseSessions', {}, {query: {offset: '-1'}})).status).toBe(400)
})

test('the agent card names no interface of A2A, and its address only from the configuration', async () => {
  await using plane = await startPlane({version: '1.2.3', tokens: parseTokens('a:token')})
  const cardOf = (url: string) =>
    new Api(url).send('GET', '/.well-known/agent-card.json', undefined, {host: 'evil.example'})
  const {body} = await cardOf(plane.url)
  expect(body).toMatchObject({
    url: plane.url,
    version: '1.2.3',
    supportedInterfaces: [],
    skills: [{id: 'coding-task'}],
    security: [{bearer: []}],
  })
  for (const name of ['preferredTransport', 'additionalInterfaces', 'protocolVersion'])
    expect(body).not.toHaveProperty(name)
  await using named = await startPlane({publicUrl: 'https://plane.example'})
  const card = await cardOf(named.url)
  expect(card.body).toMatchObject({
    url: 'https://plane.example',
    documentationUrl: 'https://plane.example/openapi.json',
  })
  expect(JSON.stringify([body, card.body])).not.toMatch(/evil|HTTP\+JSON/)
  expect((await new Api(plane.url).get('health')).body).toMatchObject({status: 'healthy', version: '1.2.3'})
})

test('a monitoring reader that is stuck does not slow down the others', async () => {
  await using one = await monitored()
  const {api} = one
  const stuck = await fetch(one.plane.url + pathTo('monitorStream'))
  const {id} = await api.create('global')
  await api.claim(id, 'w')
  for (let i = 0; i < 1500; i++) await api.output(id, 'w', 'x'.repeat(3000))
  const start = performance.now()
  await api.create('global')
  expect(performance.now() - start).toBeLessThan(1000)
  await stuck.body?.cancel()
})
