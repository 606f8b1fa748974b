import {afterAll, beforeAll, expect, test} from 'vitest'
import {planeMetrics} from '../../../src/lib/metrics/plane-metrics.ts'
import {Exposition} from '../../support/exposition.ts'
import {startRedis, type RedisServer} from '../../support/redis.ts'
import {sharedState} from '../../support/shared-state.ts'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {startPlane, until} from '../support/plane.ts'

let redis: RedisServer
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

const scrape = async (api: Api) => {
  const {status, body} = await api.get('metrics')
  expect(status).toBe(200)
  return new Exposition(body)
}

test('of two replicas, the sum of the counters and the max of the gauges are those of the whole', async () => {
  const options = sharedState(redis.url, '{metrics}:')
  const other = sharedState(redis.url, '{metrics}:')
  await using a = await startPlane(options)
  await using b = await startPlane(other)
  const [apiA, apiB] = [new Api(a.url), new Api(b.url)]
  await apiA.registerOwn('W')
  const codebase = await apiA.codebase('W', '/p')
  await using stream = await openStream(apiA, 'W', {'x-codebases': codebase})
  for (const [creating, reporting] of [
    [apiA, apiB],
    [apiB, apiA],
    [apiB, apiB],
  ] as const) {
    const {id} = await creating.create(codebase)
    await stream.pushed(id)
    await reporting.claim(id, 'W')
    await reporting.report(id, 'W', 'completed', {usage: {input: 2, cost: 1, model: 'p/m'}})
  }

  const left = await apiB.create(codebase)
  await stream.pushed(left.id)
  const both = await until(async () => {
    const found = await Promise.all([scrape(apiA), scrape(apiB)])
    const ended = found.reduce((sum, each) => sum + each.sum('a2a_plane_tasks_ended_total'), 0)
    return ended === 3 ? found : undefined
  })
  const sum = (name: string) => both.reduce((total, each) => total + each.sum(name), 0)
  expect(sum('a2a_plane_tasks_created_total')).toBe(4)
  expect(sum('a2a_plane_cost_dollars_total')).toBe(3)
  expect(sum('a2a_plane_queue_wait_seconds_count')).toBe(4)
  expect(sum('a2a_plane_task_run_seconds_count')).toBe(3)
  expect(sum('a2a_plane_streams_open')).toBe(1)
  const whole = Object.entries(planeMetrics).flatMap(([name, metric]) =>
    'of' in metric && metric.of === 'whole' && !name.endsWith('_seconds') ? [name] : [],
  )
  expect(whole.length).toBeGreaterThan(5)
  for (const name of whole)
    expect(both[0]?.families.get(name)?.samples, name).toEqual(both[1]?.families.get(name)?.samples)
  for (const [name, metric] of Object.entries(planeMetrics))
    if ('of' in metric) expect(both[0]?.families.get(name)?.help, name).toMatch(/: take the (?:max|sum)\.$/)
})

test('a control plane whose Redis is away shows metrics, and says that it is not ready', async () => {
  await using own = await startRedis()
  await using plane = await startPlane(sharedState(own.url))
  const api = new Api(plane.url)
  expect((await scrape(api)).sum('a2a_plane_ready')).toBe(1)
  await own.stop()
  const away = await until(async () => {
    const scraped = await scrape(api)
    return scraped.sum('a2a_plane_ready') === 0 ? scraped : undefined
  })
  expect(away.sum('a2a_plane_workers')).toBe(0)
})
