import {Hono} from 'hono'
import {expect, test} from 'vitest'
import {pathTo, routes, type Route} from '../../src/lib/protocol/routes.ts'
import {guardRoutes, type GuardOptions} from '../../src/lib/server/guard.ts'
import type {AppEnv} from '../../src/lib/server/http/app-env.ts'
import {parseTokens} from '../../src/lib/server/http/auth.ts'
import {operations, type Verb} from '../../src/lib/server/http/operations.ts'
import {rights} from '../../src/lib/server/http/rights.ts'
import {Api} from '../server/support/api.ts'
import {startPlane} from '../server/support/plane.ts'

/**
 * What each operation answers to: a client about what is a worker's; a bound worker about its own, a foreign and an
 * unknown thing; an unbound worker about a foreign and an unknown thing. `ok`: it is not refused (an unknown thing may
 * be missing). Admins are never refused, and who shows no token is always, except in the rows that say `everybody`.
 */
const table: Record<string, string> = {
  'get root': 'everybody',
  'get health': 'everybody',
  'get livez': 'everybody',
  'get readyz': 'everybody',
  'get metrics': '403 | 403 403 403 | 403 403',
  'get agentCard': 'everybody',
  'get status': 'everybody',
  'get localProof': 'everybody',
  'get openapi': 'ok | ok ok ok | ok ok',

  'get workers': 'ok | ok ok ok | ok ok',
  'post registerWorker': '403 | ok 403 403 | 403 ok',
  'get worker': 'ok | ok 403 403 | 403 403',
  'delete worker': 'ok | 403 403 403 | 403 403',
  'post heartbeat': '403 | ok 403 403 | 403 403',
  'post unregister': '403 | ok 403 403 | 403 403',
  'get apiKeysSync': '403 | ok 403 403 | 403 403',
  'get models': 'ok | ok ok ok | ok ok',

  'get codebases': 'ok | ok ok ok | ok ok',
  'post codebases': '403 | ok 403 403 | 403 ok',
  'get codebaseList': 'ok | ok ok ok | ok ok',
  'get codebase': 'ok | ok 403 ok | 403 ok',
  'delete codebase': 'ok | 403 403 403 | 403 403',
  'get codebaseStatus': 'ok | ok 403 ok | 403 ok',
  'get codebaseEvents': 'ok | ok 403 ok | 403 ok',

  'get sessions': 'ok | ok 403 ok | 403 ok',
  'post sessionsSync': '403 | ok 403 403 | 403 403',
  'get session': 'ok | ok 403 ok | 403 ok',
  'post sessionResume': 'ok | 403 403 403 | 403 403',
  'get messages': 'ok | ok 403 ok | 403 ok',
  'post messagesSync': '403 | ok 403 403 | 403 403',

  'get codebaseTasks': 'ok | ok 403 ok | 403 ok',
  'post codebaseTasks': 'ok | 403 403 403 | 403 403',
  'post trigger': 'ok | 403 403 403 | 403 403',
  'get tasks': 'ok | ok 403 403 | 403 403',
  'get task': 'ok | ok 404 404 | 404 404',
  'put taskStatus': '403 | ok 409 403 | 403 403',
  'post taskCancel': 'ok | 403 403 403 | 403 403',
  'post taskRetry': 'ok | 403 403 403 | 403 403',
  'get taskOutput': 'ok | ok 404 404 | 404 404',
  'post taskOutput': '403 | ok 409 403 | 403 403',
  'get taskOutputStream': 'ok | ok 404 404 | 404 404',

  'put taskQuestions': '403 | ok 409 403 | 403 403',
  'get taskInputs': 'ok | ok 409 ok | 403 403',
  'post taskInputs': 'ok | 403 403 403 | 403 403',

  'get taskStream': '403 | ok 403 403 | 403 ok',
  'post claim': '403 | ok 403 403 | 403 403',
  'post release': '403 | ok 403 403 | 403 403',
  'post decline': '403 | ok 403 403 | 403 403',
  'get connected': '403 | ok ok ok | ok ok',
  'get connectedWorker': '403 | ok 403 403 | 403 403',
  'put workerCodebases': '403 | ok 403 403 | 403 403',

  'get monitorWorkers': 'ok | ok ok ok | ok ok',
  'get monitorStats': 'ok | ok ok ok | ok ok',
  'get monitorAgents': 'ok | ok ok ok | ok ok',
  'get monitorMessages': 'ok | 403 403 403 | 403 403',
  'get monitorMessageCount': 'ok | ok ok ok | ok ok',
  'get monitorSearch': 'ok | 403 403 403 | 403 403',
  'get monitorStream': 'ok | 403 403 403 | 403 403',
  'post monitorIntervene': 'ok | 403 403 403 | 403 403',
  'get monitorExportJson': 'ok | 403 403 403 | 403 403',
  'get monitorExportCsv': 'ok | 403 403 403 | 403 403',

  'get audit': '403 | 403 403 403 | 403 403',
  'post backup': '403 | 403 403 403 | 403 403',

  'post pageLink': 'ok | ok ok ok | ok ok',

  'get databaseStatus': 'ok | ok ok ok | ok ok',
  'get databaseWorkers': 'ok | 403 403 403 | 403 403',
  'get databaseCodebases': 'ok | 403 403 403 | 403 403',
  'get databaseSessions': 'ok | 403 403 403 | 403 403',
}

/** Everything of the other worker that a person could read contains this. */
const secret = 'of-the-other'
const tokens = parseTokens(
  'me:admin, ci/client:client, mine/worker:mine, theirs/worker:theirs, spare/worker:spare, prom/metrics:scraper',
)

type Things = {worker: string; codebase: string; task: string; session: string}
const unknown: Things = {worker: 'nobody', codebase: 'nothing', task: 'nothing', session: 'nothing'}

/** A control plane with two workers. Each has a codebase with a session, a running task with output, and a stream. */
async function twoWorkers() {
  const plane = await startPlane({tokens})
  const admin = new Api(plane.url, 'admin')
  const setUp = async (token: string, worker: string, mark: string): Promise<Things> => {
    const api = new Api(plane.url, token)
    await api.registerOwn(worker, {name: mark, models: [{id: `p/${mark}`}]})
    const codebase = await api.codebase(worker, `/${mark}`)
    const task = await admin.create(codebase, {title: mark, prompt: mark})
    await api.claim(task.id, worker)
    await api.output(task.id, worker, mark)
    const sessions = [{id: 's', title: mark}]
    await api.post('sessionsSync', {codebase}, {worker_id: worker, sessions})
    return {worker, codebase, task: task.id, session: 's'}
  }
  const [own, foreign] = [await setUp('mine', 'A', 'own'), await setUp('theirs', 'B', secret)]
  return {plane, own, foreign, [Symbol.asyncDispose]: () => plane.close()}
}

/** Bodies that name a worker. Other operations get none: what is not refused then lacks it, and changes nothing. */
const bodies: Record<string, (things: Things) => object> = {
  'post registerWorker': ({worker}) => ({worker_id: worker, name: 'n'}),
  'post codebases': ({worker}) => ({worker_id: worker, name: 'n', path: '/n'}),
  'post sessionsSync': ({worker}) => ({worker_id: worker, sessions: []}),
  'post messagesSync': ({worker}) => ({worker_id: worker, messages: []}),
  'put taskStatus': ({worker}) => ({worker_id: worker, status: 'running'}),
  'post taskOutput': ({worker}) => ({worker_id: worker, output: 'x'}),
  'put taskQuestions': ({worker}) => ({worker_id: worker, attempt: 1, questions: []}),
}

/** Sends the request. Resolves with `ok` or the status of a refusal, and the text of an answer that is no stream. */
async function ask(url: string, token: string | undefined, [verb, route]: [Verb, Route], things: Things) {
  const {query, headers} = operations[route][verb] ?? {}
  const namesWorker = query?.includes('worker_id') || headers?.includes('X-Worker-ID')
  const path = pathTo(route, things, {...(namesWorker ? {worker_id: things.worker} : {}), q: 'of'})
  const body = bodies[`${verb} ${route}`]?.(things)
  const abort = new AbortController()
  const response = await fetch(url + path, {
    method: verb.toUpperCase(),
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : {authorization: `Bearer ${token}`}),
    },
    signal: abort.signal,
    ...(body ? {body: JSON.stringify(body)} : {}),
  })
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
  const text = isStream ? '' : await response.text()
  abort.abort()
  const isRefused =
    [401, 403].includes(response.status) || /belongs to another worker|not held by worker/.test(text.slice(0, 300))
  return {answer: isRefused ? String(response.status) : 'ok', text}
}

const all = (Object.keys(routes) as Route[]).flatMap((route) =>
  (Object.keys(operations[route]) as Verb[]).map((verb) => [verb, route] as [Verb, Route]),
)

test('every operation has a row of rights, and a row in the table of this test', () => {
  const names = all.map(([verb, route]) => `${verb} ${route}`).toSorted()
  const declared = Object.entries(rights).flatMap(([route, row]) => Object.keys(row).map((verb) => `${verb} ${route}`))
  expect(declared.toSorted()).toEqual(names)
  expect(Object.keys(table).toSorted()).toEqual(names)
  const app = new Hono<AppEnv>()
  guardRoutes(app, {} as GuardOptions)
  expect(() => app.get('/v1/new', (c) => c.text('open to all'))).toThrow('get /v1/new has no rights')
  expect(() => app.put('/v1/opencode/tasks/:task', (c) => c.text(''))).toThrow('has no rights')
})

test.each(all)(
  '%s %s answers admins, clients, workers with and without an id, and strangers as the table says, and shows workers nothing of others',
  async (verb, route) => {
    await using at = await twoWorkers()
    const {plane, own, foreign} = at
    const call = (token: string | undefined, things: Things) => ask(plane.url, token, [verb, route], things)
    const stranger = await call(undefined, foreign)
    const unbound = [await call('spare', foreign), await call('spare', unknown)]
    const bound = [await call('mine', own), await call('mine', foreign), await call('mine', unknown)]
    const client = await call('client', foreign)
    const admin = await call('admin', foreign)
    const scraper = await call('scraper', foreign)

    const line = (answers: {answer: string}[]) => answers.map(({answer}) => answer).join(' ')
    const wanted = table[`${verb} ${route}`]
    const open = wanted === 'everybody'
    expect([client.answer, line(bound), line(unbound)].join(' | ')).toBe(open ? 'ok | ok ok ok | ok ok' : wanted)
    expect([stranger.answer, admin.answer]).toEqual([open ? 'ok' : '401', 'ok'])
    expect(scraper.answer).toBe(open || route === 'metrics' ? 'ok' : '403')
    for (const {text} of [stranger, scraper, ...bound, ...unbound]) expect(text).not.toContain(secret)
    if (shown.has(`${verb} ${route}`)) expect(admin.text).toContain(secret)
  },
)

/** Operations that show admins what is hidden from workers. Otherwise the check above would prove nothing. */
const shown = new Set(
  [
    ...[
      'workers',
      'worker',
      'models',
      'codebases',
      'codebaseList',
      'codebase',
      'codebaseStatus',
      'sessions',
      'session',
    ],
    ...['codebaseTasks', 'tasks', 'task', 'taskOutput', 'monitorWorkers', 'monitorAgents', 'monitorMessages'],
    ...['monitorSearch', 'monitorExportJson', 'monitorExportCsv', 'databaseWorkers', 'databaseCodebases'],
    ...['databaseSessions'],
  ].map((route) => `get ${route}`),
)
