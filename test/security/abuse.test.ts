import {expect, test} from 'vitest'
import {pathTo} from '../../src/lib/protocol/routes.ts'
import {parseTokens} from '../../src/lib/server/http/auth.ts'
import {Api} from '../server/support/api.ts'
import {Listener} from '../server/support/events.ts'
import {startPlane, until} from '../server/support/plane.ts'

const tokens = parseTokens('me:admin-token, ci/client:client-token, mine/worker:worker-token')

test('a token that floods the control plane is answered 429 with Retry-After, and others are not affected', async () => {
  await using plane = await startPlane({tokens, maxRequests: 5, timings: {refusalLogMs: 1000}})
  const [flood, other] = [new Api(plane.url, 'client-token'), new Api(plane.url, 'admin-token')]
  const begun = performance.now()
  const answers = await Promise.all(Array.from({length: 400}, () => flood.get('tasks')))
  const refused = answers.filter(({status}) => status === 429)
  expect(refused.length).toBeGreaterThan(100)
  expect(answers.filter(({status}) => status === 200).length).toBeGreaterThanOrEqual(50)
  expect(refused[0]?.headers.get('retry-after')).toBe('1')
  expect(refused[0]?.body.detail).toContain('token ci sends more than 5 requests per second')
  expect((await other.get('tasks')).status).toBe(200)
  expect((await flood.get('health')).status).toBe(200)
  await until(() =>
    plane.log.some((line) => /^\d+ requests refused by --max-requests .* from token ci \(\d+\)$/.test(line)),
  )
  // one line a second, however many requests there were
  expect(plane.log.length).toBeLessThan(4 + (performance.now() - begun) / 1000)
  await until(async () => (await flood.get('tasks')).status === 200)
})

test('wrong tokens are answered ever later, while the right one is accepted from the same address', async () => {
  await using plane = await startPlane({tokens, timings: {refusalLogMs: 50}})
  const right = new Api(plane.url, 'admin-token')
  const waits: (string | null)[] = []
  for (let i = 0; i < 14; i++) {
    const {status, headers} = await new Api(plane.url, `guess-${i}`).get('tasks')
    waits.push(headers.get('retry-after'))
    expect(status).toBe(i < 10 ? 403 : 429)
    expect((await right.get('tasks')).status).toBe(200)
  }
  expect(waits.slice(9)).toEqual([null, '1', '2', '4', '8'])
  await until(() => plane.log.join('\n').includes('requests with a wrong token'))
})

test("an error of megabytes ends nobody else's stream, and its start is stored", async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/srv/app')
  const follow = await Promise.all(
    [pathTo('codebaseEvents', {codebase}), pathTo('monitorStream')].map((path) => Listener.open(api, path)),
  )
  for (let i = 0; i < 2; i++) {
    const task = await api.create(codebase, {title: `T${i}`})
    await api.claim(task.id, 'w')
    await api.report(task.id, 'w', 'failed', {error: `begin${'x'.repeat(3_500_000)}`})
    expect((await api.task(task.id)).error).toMatch(/^beginx{1000}/)
    expect((await api.task(task.id)).error?.length).toBe(64 * 1024)
    for (const events of follow) await until(() => JSON.stringify(events.events).includes(`T${i}`))
  }
  for (const events of follow) await events[Symbol.asyncDispose]()
})

test("a worker's token has a limit on its open streams, and a closed stream makes room", async () => {
  await using plane = await startPlane({tokens, maxStreams: 3})
  const open = async (token: string) => {
    const abort = new AbortController()
    const response = await fetch(`${plane.url}/v1/monitor/stream`, {
      headers: {authorization: `Bearer ${token}`},
      signal: abort.signal,
    })
    return {status: response.status, retryAfter: response.headers.get('retry-after'), close: () => abort.abort()}
  }
  const streams = [await open('client-token'), await open('client-token'), await open('client-token')]
  expect(streams.map(({status}) => status)).toEqual([200, 200, 200])
  const refused = await open('client-token')
  expect(refused).toMatchObject({status: 429, retryAfter: '10'})
  expect((await open('admin-token')).status).toBe(200)
  streams[0]?.close()
  await until(async () => (await open('client-token')).status === 200)
})
