import {spawn} from 'node:child_process'
import {existsSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFaultProxy, type ProxyAction} from '../../chaos/fault-proxy.ts'
import {answering, printing, stepStart, text} from '../support/agent-lines.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {startInProcessWorker} from '../support/in-process-worker.ts'

/** A control plane, and a worker of one working tree behind a proxy that can simulate broken networks. */
async function setUp() {
  const fleet = await startFleet()
  const proxy = await startFaultProxy(fleet.url)
  const tree = repository(join(fleet.path, 'p'))
  const settings = {sse_heartbeat_timeout: '2', poll_interval: '1'}
  const worker = await startInProcessWorker(proxy.url, [tree], {factor: 1, settings})
  await until(() => worker.running.intake.connection === 'stream', 'the stream')
  return {
    ...fleet,
    proxy,
    tree,
    worker,
    codebase: await fleet.codebaseId(tree),
    spool: (id: string) => readFileSync(join(worker.stateDir, `workers/here/runs/${id}/1/stdout.ndjson`), 'utf8'),
    says: (what: RegExp) =>
      until(
        () => what.test(worker.log()),
        () => `${what} in:\n${worker.log()}`,
      ),
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]()
      await proxy[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}

const page = '<html><h1>Bad Gateway</h1></html>'
const answer = (status: number, headers: Record<string, string> = {}): ProxyAction => ({
  do: 'answer',
  status,
  headers: {'content-type': 'text/html', ...headers},
  body: page,
})

const faults: [name: string, action: ProxyAction][] = [
  ['a page with status 502', answer(502)],
  ['a page with status 200', answer(200)],
  ['a page with status 404', answer(404)],
  ['429 with Retry-After', answer(429, {'retry-after': '1'})],
  ['a lost request', {do: 'reset', when: 'before'}],
  ['a lost answer', {do: 'reset', when: 'after'}],
  ['half an answer', {do: 'truncate'}],
  ['a request that arrives twice', {do: 'double'}],
]

test.each(faults)('%s, for output, report and heartbeat, loses neither output nor the task', async (_name, action) => {
  await using at = await setUp()
  const script = `${printing(stepStart(), text('first'))}until [ -e go ]; do sleep 0.02; done; ${answering('second')}`
  const {id} = await at.http.task(at.codebase, {prompt: script})
  let met = 0
  at.proxy.chooseAction = (request) => {
    if (!/output|status|heartbeat/.test(request) || met >= 4) return {do: 'pass'}
    met += 1
    return action
  }
  await until(() => met > 0, 'the fault')
  spawn('touch', [join(at.tree, 'go')])
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'first\nsecond'})
  expect(await at.output(id)).toBe(at.spool(id))
})

test('a half-open connection is detected, and everything buffered is sent once it works again', async () => {
  await using at = await setUp()
  const script = `${printing(stepStart(), text('first'))}touch began; until [ -e go ]; do sleep 0.02; done; ${answering('second')}touch over`
  const {id} = await at.http.task(at.codebase, {prompt: script})
  await until(() => existsSync(join(at.tree, 'began')), 'the agent')
  at.proxy.setBlackHole(true)
  spawn('touch', [join(at.tree, 'go')])
  await until(() => existsSync(join(at.tree, 'over')), 'the agent to go on')
  await at.says(/Task stream lost|Falling back|out of reach/)
  at.proxy.setBlackHole(false)
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'first\nsecond'})
  expect(await at.output(id)).toBe(at.spool(id))
})

test('a token that is refused for a while is logged as an error, and loses nothing', async () => {
  await using at = await setUp()
  let isRefused = true
  at.proxy.chooseAction = (request) => (isRefused && /heartbeat|stream/.test(request) ? {...refused} : {do: 'pass'})
  at.proxy.cut()
  await at.says(/ERROR .*HTTP 401/)
  isRefused = false
  const {id} = await at.http.task(at.codebase, {prompt: answering('ok')})
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1})
})

const refused: ProxyAction = {
  do: 'answer',
  status: 401,
  headers: {'content-type': 'application/json'},
  body: '{"detail": "Not authenticated"}',
}
