import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFaultProxy, type Fate, type FaultProxy} from '../../../chaos/fault-proxy.ts'
import {answering} from '../../support/agent-lines.ts'
import {startFleet} from '../../support/fleet.ts'
import {repository, until} from '../../support/scratch.ts'
import {workHere} from '../../support/worker-here.ts'

const output = /^POST \/v1\/opencode\/tasks\/[^/]+\/output/
const report = /^PUT \/v1\/opencode\/tasks\/[^/]+\/status/
const heartbeat = /^POST \/v1\/opencode\/workers\/[^/]+\/heartbeat/

const refusal = (status: number, detail: string, headers: Record<string, string> = {}): Fate => ({
  do: 'answer',
  status,
  headers: {'content-type': 'application/json', ...headers},
  body: JSON.stringify({detail}),
})

/** A plane, a worker whose time passes `factor` times as fast, and a proxy in between. */
async function shop(factor: number) {
  const fleet = await startFleet()
  const proxy = await startFaultProxy(fleet.url)
  const path = repository(join(fleet.path, 'p'))
  const worker = await workHere(proxy.url, [path], {factor})
  await until(() => worker.running.intake.link === 'stream', 'the stream')
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

/** Refuses what is of these kinds until told otherwise, and notes when the requests came. */
function refuse(proxy: FaultProxy, kinds: RegExp[], fate: Fate) {
  const came: {request: string; at: number}[] = []
  const seen = (kind: RegExp) => came.filter(({request}) => kind.test(request))
  const refused = {seen, isOn: true, times: Infinity}
  proxy.fate = (request) => {
    came.push({request, at: performance.now()})
    const isMeant = refused.isOn && kinds.some((kind) => kind.test(request))
    if (!isMeant || refused.times === 0) return {do: 'pass'}
    refused.times -= 1
    return fate
  }
  return refused
}

test.each([output, report])('Retry-After is kept to, no request comes sooner: %s', async (kind) => {
  await using at = await shop(1)
  const refused = refuse(at.proxy, [kind], refusal(429, 'slow down', {'retry-after': '1'}))
  // The first report may be that of the session, which is not sent again.
  refused.times = 3
  const id = await at.begin(`${answering('done')}sleep 0.3`)
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'done'})
  const [first = 0, second = 0, third = 0] = refused
    .seen(kind)
    .map(({at}) => at)
    .slice(-3)
  expect(Math.min(second - first, third - second)).toBeGreaterThan(980)
})

test('a token that is refused for a while is told as an error that names the setting; reports are sent slowly, and come', async () => {
  await using at = await shop(20)
  const refused = refuse(at.proxy, [report, heartbeat], refusal(401, 'Invalid token'))
  const id = await at.begin(answering('done'))
  await until(() => refused.seen(report).length > 0 && refused.seen(heartbeat).length > 4, 'a while of the worker')
  refused.isOn = false
  expect(refused.seen(report).length).toBeLessThan(15)
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  const errors = at.worker.events.flatMap((event) =>
    event.type === 'notice' && event.level === 'error' ? [event.text] : [],
  )
  expect(errors).toHaveLength(2) // of the report, and of the heartbeats
  for (const text of errors) expect(text).toMatch(/Invalid token .*A2A_AUTH_TOKEN.*auth_token_file/)
})

test('a report that was refused for its token is sent at once with another one', async () => {
  await using at = await shop(0.01) // a pause outlasts the test
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
])('a report that is refused for good, by %i, is told as an error and not sent again', async (status, detail) => {
  await using at = await shop(20)
  const refused = refuse(at.proxy, [report], refusal(status, detail))
  const id = await at.begin(answering('done'))
  await until(() => at.worker.events.some(({type}) => type === 'task.refused'), 'the refusal')
  const before = {reports: refused.seen(report).length, beats: refused.seen(heartbeat).length}
  await until(() => refused.seen(heartbeat).length > before.beats, 'the next heartbeat')
  expect(refused.seen(report)).toHaveLength(before.reports)
  const [, kept = ''] = /It is kept in (.*)/.exec(at.worker.log()) ?? []
  expect(at.worker.log()).toMatch(new RegExp(`ERROR .*${id}.* refuses the report for good: .*${detail}`))
  expect(JSON.parse(readFileSync(kept, 'utf8'))).toMatchObject({
    reason: expect.stringContaining(detail),
    report: {status: 'completed', result: 'done'},
  })
})
