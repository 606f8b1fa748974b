import {afterAll, beforeAll, expect, test} from 'vitest'
import {planeMetrics} from '../../../src/lib/metrics/plane-metrics.ts'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Exposition} from '../../support/exposition.ts'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {startPlane, until, type TestPlane} from '../support/plane.ts'

const tokens = parseTokens('me:admin, ci/client:client, box/worker:worker, prom/metrics:scraper')
let plane: TestPlane
let api: Api

beforeAll(async () => {
  plane = await startPlane({tokens, version: '1.2.3'})
  api = new Api(plane.url, 'admin')
})
afterAll(() => plane.close())

/** Scrapes, and checks the format. */
async function scrape(url = plane.url, token = 'scraper'): Promise<Exposition> {
  const {status, body, headers} = await new Api(url, token).get('metrics')
  expect(status).toBe(200)
  expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return new Exposition(body)
}

const ended = (scraped: Exposition) => scraped.sum('a2a_plane_tasks_ended_total')

/** What has not ended is pending, assigned or running. */
function expectSumsToHold(scraped: Exposition): void {
  const open = ['pending', 'assigned', 'running'].map((status) => scraped.sum('a2a_plane_tasks', {status}))
  const left = open.reduce((sum, count) => sum + count, 0)
  expect(scraped.sum('a2a_plane_tasks_created_total')).toBe(ended(scraped) + left)
  expect(scraped.sum('a2a_plane_task_run_seconds_count')).toBeLessThanOrEqual(ended(scraped))
}

test('metrics need a token of their scope, also from loopback, and that token reads nothing else', async () => {
  const status = async (token: string | undefined, route: 'metrics' | 'tasks' = 'metrics', url = plane.url) =>
    (await new Api(url, token).get(route)).status
  expect(await status(undefined)).toBe(401)
  for (const token of ['client', 'worker', 'wrong']) expect(await status(token), token).toBe(403)
  for (const token of ['scraper', 'admin']) expect(await status(token), token).toBe(200)
  expect(await status('scraper', 'tasks')).toBe(403)
  const refused = await new Api(plane.url, 'scraper').register('W')
  expect(refused).toMatchObject({
    status: 403,
    body: {detail: 'The token "prom" is for metrics: it may only read those'},
  })

  await using loose = await startPlane({tokens, auth: 'stream-only'})
  expect([await status(undefined, 'metrics', loose.url), await status('scraper', 'metrics', loose.url)]).toEqual([
    401, 200,
  ])
  await using open = await startPlane()
  expect(await status(undefined, 'metrics', open.url)).toBe(200)
  const fromPage = await new Api(open.url).get('metrics', {}, {headers: {'sec-fetch-site': 'cross-site'}})
  expect(fromPage.status).toBe(403)
})

test('a scrape has exactly the metrics of the list, with their types, and is the same for HEAD', async () => {
  const scraped = await scrape()
  const types = Object.fromEntries([...scraped.families].map(([name, {type}]) => [name, type]))
  expect(types).toEqual(Object.fromEntries(Object.entries(planeMetrics).map(([name, {type}]) => [name, type])))
  expect(scraped.sum('a2a_plane_build_info', {version: '1.2.3', node: process.versions.node})).toBe(1)
  for (const name of ['a2a_plane_ready', 'a2a_plane_process_cpu_seconds_total'])
    expect(scraped.sum(name), name).toBeGreaterThan(0)
  const head = await fetch(`${plane.url}/metrics`, {method: 'HEAD', headers: {authorization: 'Bearer scraper'}})
  expect([head.status, await head.text()]).toEqual([200, ''])
})

test('created tasks are those that ended and those that are open, with their waits, runs, output, tokens and cost', async () => {
  const before = await scrape()
  await api.registerOwn('W', {slots: 4})
  const codebase = await api.codebase('W', '/p')
  await using stream = await openStream(api, 'W', {'x-codebases': codebase})
  const usage = {input: 10, output: 5, reasoning: 0, cache_read: 3, cache_write: 0, cost: 0.25, model: 'p/fast'}
  const first = await api.create(codebase)
  await stream.pushed(first.id)
  expectSumsToHold(await scrape())
  await api.claim(first.id, 'W')
  await api.output(first.id, 'W', 'grün\n')
  const running = await scrape()
  expect(running.sum('a2a_plane_tasks', {status: 'running'})).toBe(1)
  expect(running.sum('a2a_plane_slots_used')).toBe(1)
  expect(running.sum('a2a_plane_workers', {state: 'connected'})).toBe(1)
  expect(running.sum('a2a_plane_streams_open')).toBe(1)
  await api.report(first.id, 'W', 'completed', {usage})
  const second = await api.create(codebase)
  await stream.pushed(second.id)
  await api.claim(second.id, 'W')
  await api.report(second.id, 'W', 'failed', {error: 'Timed out after 5 s (task_timeout)'})
  const third = await api.create(codebase)
  await api.post('taskCancel', {task: third.id})
  await api.report(third.id, 'W', 'cancelled')
  const after = await until(async () => {
    const scraped = await scrape()
    return ended(scraped) - ended(before) === 3 ? scraped : undefined
  })
  expectSumsToHold(after)
  for (const labels of [
    {status: 'completed', reason: 'none'},
    {status: 'failed', reason: 'timeout'},
    {status: 'cancelled', reason: 'cancelled'},
  ])
    expect(after.sum('a2a_plane_tasks_ended_total', labels), labels.reason).toBe(1)
  expect(after.sum('a2a_plane_queue_wait_seconds_count')).toBe(3)
  expect(after.sum('a2a_plane_dispatch_seconds_count')).toBeGreaterThanOrEqual(2)
  expect(after.sum('a2a_plane_output_bytes_total')).toBe(Buffer.byteLength('grün\n'))
  expect(after.sum('a2a_plane_tokens_total', {model: 'p/fast'})).toBe(18)
  expect(after.sum('a2a_plane_tokens_total', {model: 'p/fast', kind: 'cache_read'})).toBe(3)
  expect(after.sum('a2a_plane_cost_dollars_total', {model: 'p/fast'})).toBe(0.25)
  expect(after.sum('a2a_plane_commit_seconds_count')).toBeGreaterThan(before.sum('a2a_plane_commit_seconds_count'))
  expect(after.sum('a2a_plane_commit_failures_total')).toBe(0)
})

test('the labels of a scrape stay few under hostile names of models', async () => {
  await api.registerOwn('H')
  const codebase = await api.codebase('H', '/hostile')
  const names = ['x"} 1\n', 'a\\', 'ü', ' ', 'y'.repeat(190), ...Array.from({length: 60}, (_, i) => `model/${i}`)]
  for (const model of names) {
    const task = await api.create(codebase)
    await api.claim(task.id, 'H')
    const answer = await api.report(task.id, 'H', 'completed', {usage: {input: 1, cost: 1, model}})
    expect(answer.status, model).toBe(200)
  }
  const scraped = await until(async () => {
    const now = await scrape()
    return now.sum('a2a_plane_cost_dollars_total') >= names.length ? now : undefined
  })
  for (const name of ['a2a_plane_cost_dollars_total', 'a2a_plane_tokens_total']) {
    const models = scraped.values(name, 'model')
    expect(models.length).toBeLessThanOrEqual(32)
    expect(models.filter((model) => !/^[\w./-]+$/.test(model))).toEqual([])
    expect(models).toContain('other')
  }
  for (const {samples} of scraped.families.values())
    for (const {labels} of samples) expect(Object.keys(labels)).not.toContain('task_id')
  expectSumsToHold(scraped)
})

test('an open question, a waiting task and a silent worker are seen, with their ages', async () => {
  await api.registerOwn('Q')
  const codebase = await api.codebase('Q', '/questions')
  const task = await api.create(codebase)
  await api.claim(task.id, 'Q')
  const question = {id: 'q', kind: 'permission', title: 'May I?', options: [], since: Date.now() - 60_000, until: null}
  const body = {worker_id: 'Q', attempt: task.attempt, questions: [question]}
  const put = await api.send('PUT', `/v1/opencode/tasks/${task.id}/questions`, body)
  expect(put.status, JSON.stringify(put.body)).toBe(200)
  const waiting = await api.create(codebase)
  const scraped = await until(async () => {
    const now = await scrape()
    return now.sum('a2a_plane_questions_total') === 1 && now.sum('a2a_plane_queue_oldest_seconds') > 0 ? now : undefined
  })
  expect(scraped.sum('a2a_plane_questions_open')).toBe(1)
  expect(scraped.sum('a2a_plane_question_oldest_seconds')).toBeGreaterThanOrEqual(60)
  expect(scraped.sum('a2a_plane_tasks', {status: 'pending'})).toBe(1)
  expect(scraped.sum('a2a_plane_workers', {state: 'polling'})).toBeGreaterThan(0)
  await api.post('taskCancel', {task: waiting.id})
  await api.report(task.id, 'Q', 'failed', {error: 'no answer'})
  expect((await scrape()).sum('a2a_plane_questions_open')).toBe(0)
})

test('the control plane of a machine counts from its first scrape on, and others from their start', async () => {
  await using local = await startPlane({
    tokens: parseTokens('local:local-token-of-16'),
    localToken: 'local-token-of-16',
  })
  const own = new Api(local.url, 'local-token-of-16')
  await own.registerOwn('W')
  const codebase = await own.codebase('W', '/p')
  await own.create(codebase)
  const created = async () => (await scrape(local.url, 'local-token-of-16')).sum('a2a_plane_tasks_created_total')
  expect(await created()).toBe(0)
  await own.create(codebase)
  await until(async () => (await created()) === 1)
})
