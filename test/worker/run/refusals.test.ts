import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFaultProxy, type ProxyAction, type FaultProxy} from '../../../chaos/fault-proxy.ts'
import {answering} from '../../support/agent-lines.ts'
import {startFleet} from '../../support/fleet.ts'
import {repository, until} from '../../support/scratch.ts'
import {startInProcessWorker} from '../../support/in-process-worker.ts'

const output = /^POST \/v1\/opencode\/tasks\/[^/]+\/output/
const report = /^PUT \/v1\/opencode\/tasks\/[^/]+\/status/
const heartbeat = /^POST \/v1\/opencode\/workers\/[^/]+\/heartbeat/

const refusal = (status: number, detail: string, headers: Record<string, string> = {}): ProxyAction => ({
  do: 'answer',
  status,
  headers: {'content-type': 'application/json', ...headers},
  body: JSON.stringify({detail}),
})

/** A worker in this process on a clock that is `factor` times as fast, and a proxy to a control plane. */
async function setUp(factor: number) {
  const fleet = await startFleet()
  const proxy = await startFaultProxy(fleet.url)
  const path = repository(join(fleet.path, 'p'))
  const worker = await startInProcessWorker(proxy.url, [path], {factor})
  await until(() => worker.running.intake.connection === 'stream', 'the stream')
  const codebase = await fleet.codebaseId(path)
  return {
    ...fleet,
    proxy,
    worker,
    begin: async (script: string) => (await fleet.http.task(codebase, {prompt: script})).id,
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]()
      await proxy[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}

/** Refuses requests of these kinds while `isOn`, and records all requests with their times. */
function refuse(proxy: FaultProxy, kinds: RegExp[], action: ProxyAction) {
  const received: {request: string; at: number}[] = []
  const seen = (kind: RegExp) => received.filter(({request}) => kind.test(request))
  const refused = {seen, isOn: true, times: Infinity}
  proxy.chooseAction = (request) => {
    received.push({request, at: performance.now()})
    const isRefused = refused.isOn && kinds.some((kind) => kind.test(request))
    if (!isRefused || refused.times === 0) return {do: 'pass'}
    refused.times -= 1
    return action
  }
  return refused
}

test.each([
  ['output', output, 1],
  ['report', report, 2], // that of the session, and that of the end
] as const)('Retry-After is respected, and no request is sent earlier: %s', async (_name, kind, atOnce) => {
  await using at = await setUp(1)
  const refused = refuse(at.proxy, [kind], refusal(429, 'slow down', {'retry-after': '1'}))
  refused.times = 3
  const id = await at.begin(`${answering('done')}sleep 0.3`)
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'done'})
  const times = refused.seen(kind).map(({at}) => at)
  expect(times.length).toBeGreaterThan(atOnce + 1)
  for (const [i, time] of times.slice(0, 4 - atOnce).entries())
    expect((times[i + atOnce] ?? 0) - time).toBeGreaterThan(980)
})

const stream = /^GET \/v1\/worker\/tasks\/stream/
const poll = /^GET \/v1\/opencode\/tasks\?/

test.each([
  ['stream', stream],
  ['poll', poll],
  ['heartbeat', heartbeat],
])('a longer Retry-After is respected as well: %s', async (name, kind) => {
  const factor = 20
  await using at = await setUp(factor)
  const refused = refuse(at.proxy, [kind], refusal(429, 'slow down', {'retry-after': '12'}))
  refused.times = 2
  if (name === 'stream') at.worker.running.intake.reconnect('the test asks for it')
  const id = await at.begin(answering('done'))
  await until(() => refused.seen(kind).length > 2, `the third request of the ${name}`)
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'done'})
  const times = refused.seen(kind).map(({at}) => at)
  expect(Math.min(...[1, 2].map((i) => (times[i] ?? 0) - (times[i - 1] ?? 0)))).toBeGreaterThan(12_000 / factor - 20)
})

test('a refused token is logged as an error that names the setting, and reports are retried slowly until they are accepted', async () => {
  await using at = await setUp(20)
  const refused = refuse(at.proxy, [report, heartbeat], refusal(401, 'Invalid token'))
  const id = await at.begin(answering('done'))
  await until(() => refused.seen(report).length > 0 && refused.seen(heartbeat).length > 4, 'a while of the worker')
  refused.isOn = false
  expect(refused.seen(report).length).toBeLessThan(15)
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  const errors = at.worker.events.flatMap((event) =>
    event.type === 'notice' && event.level === 'error' ? [event.text] : [],
  )
  expect(errors).toHaveLength(2) // one for the report, and one for the heartbeats
  for (const text of errors) expect(text).toMatch(/Invalid token .*A2A_AUTH_TOKEN.*auth_token_file/)
})

test('a report that was refused because of its token is sent at once with a new token', async () => {
  await using at = await setUp(0.01) // a pause is longer than the test
  const refused = refuse(at.proxy, [report], refusal(401, 'Invalid token'))
  const id = await at.begin(answering('done'))
  await until(() => /ERROR .*It will be sent again/.test(at.worker.log()), 'the refusal')
  refused.isOn = false
  at.worker.client.http.renewToken('another')
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1})
})

test.each([
  [404, 'Task t not found'],
  [409, 'Task t is held by another worker'],
])('a report that is refused for good, by %i, is logged as an error and not sent again', async (status, detail) => {
  await using at = await setUp(20)
  const refused = refuse(at.proxy, [report], refusal(status, detail))
  const id = await at.begin(answering('done'))
  await until(() => at.worker.events.some(({type}) => type === 'task.refused'), 'the refusal')
  const before = {reports: refused.seen(report).length, beats: refused.seen(heartbeat).length}
  await until(() => refused.seen(heartbeat).length > before.beats, 'the next heartbeat')
  expect(refused.seen(report)).toHaveLength(before.reports)
  const [, kept = ''] = /It is saved in (.*)/.exec(at.worker.log()) ?? []
  expect(at.worker.log()).toMatch(new RegExp(`ERROR .*${id}.* refused the report for good: .*${detail}`))
  expect(JSON.parse(readFileSync(kept, 'utf8'))).toMatchObject({
    reason: expect.stringContaining(detail),
    report: {status: 'completed', result: 'done'},
  })
})
