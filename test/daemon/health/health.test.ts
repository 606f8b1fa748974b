import {spawnSync} from 'node:child_process'
import {readFileSync, writeFileSync} from 'node:fs'
import {createServer} from 'node:net'
import type {AddressInfo} from 'node:net'
import {once} from 'node:events'
import {join} from 'node:path'
import {execa} from 'execa'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {serveHealth} from '../../../src/lib/daemon/health/health-server.ts'
import {checkHealthAddress} from '../../../src/lib/doctor/health-check.ts'
import {workerMetrics} from '../../../src/lib/metrics/worker-metrics.ts'
import {resolveConfig} from '../../../src/lib/config/resolve.ts'
import {root, start, stop, stubAgent} from '../../support/cli.ts'
import {Exposition} from '../../support/exposition.ts'
import {startOneWorker} from '../../support/one-worker.ts'
import {until} from '../../support/scratch.ts'
import {says} from '../../support/workshop.ts'

let fleet: Awaited<ReturnType<typeof startOneWorker>>
let address = ''

beforeAll(async () => {
  fleet = await startOneWorker({env: {OPENCODE_BIN_PATH: stubAgent}, args: ['--health-addr', '0']})
  address = addressIn(fleet.worker.stderr())
})
afterAll(() => fleet[Symbol.asyncDispose]())

const addressIn = (log: string) => /metrics: (http:\/\/127\.0\.0\.1:\d+)\//.exec(log)?.[1] ?? ''

type Health = {status: number; body: {status?: string; detail?: string; worker?: string}}

const ask = async (path: string): Promise<Health> => {
  const response = await fetch(address + path)
  return {status: response.status, body: (await response.json()) as Health['body']}
}

const scrape = async () => new Exposition(await (await fetch(`${address}/metrics`)).text())

/** Waits for the end of the report too: it is counted a moment after the task has ended. */
const settled = async (count: number) =>
  until(async () => {
    const scraped = await scrape()
    const isSettled =
      scraped.sum('a2a_worker_tasks_finished_total') === count && scraped.sum('a2a_worker_outbox_reports') === 0
    return isSettled ? scraped : undefined
  }, 'the metrics of the ended tasks')

test('a worker counts what its tasks do, and a scrape has the metrics of the list', async () => {
  const before = await scrape()
  expect([...before.families.keys()].sort()).toEqual(Object.keys(workerMetrics).sort())
  expect(before.sum('a2a_worker_ready')).toBe(1)
  expect(before.sum('a2a_worker_connection', {connection: 'stream'})).toBe(1)
  expect(before.sum('a2a_worker_connection')).toBe(1)
  const {id} = await fleet.http.task(fleet.codebase, {prompt: '@lines=3', model: 'stub/fast'})
  await fleet.ended(id)
  const bad = await fleet.http.task(fleet.codebase, {prompt: '@nofinish'})
  await fleet.ended(bad.id)
  const after = await settled(2)
  expect(after.sum('a2a_worker_tasks_finished_total', {status: 'completed', reason: 'none'})).toBe(1)
  expect(after.sum('a2a_worker_tasks_finished_total', {status: 'failed', reason: 'agent'})).toBe(1)
  expect(after.sum('a2a_worker_tasks_received_total')).toBe(2)
  expect(after.sum('a2a_worker_task_start_seconds_count')).toBe(2)
  expect(after.sum('a2a_worker_run_seconds_count')).toBe(2)
  expect(after.sum('a2a_worker_run_seconds_sum', {status: 'completed'})).toBeGreaterThan(0)
  expect(after.sum('a2a_worker_tokens_total', {model: 'stub/fast', kind: 'input'})).toBe(10)
  expect(after.sum('a2a_worker_cost_dollars_total', {model: 'stub/fast'})).toBe(0.25)
  const output = Buffer.byteLength((await fleet.output(id)) + (await fleet.output(bad.id)))
  expect(after.sum('a2a_worker_output_bytes_total')).toBe(output)
  expect(after.sum('a2a_worker_slots_used')).toBe(0)
})

test('a running task uses a slot, and a cancelled one is counted as such', async () => {
  const finished = (await scrape()).sum('a2a_worker_tasks_finished_total')
  const {id} = await fleet.http.task(fleet.codebase, {prompt: '@hang'})
  const running = await until(async () => {
    const scraped = await scrape()
    return scraped.sum('a2a_worker_tasks_active', {phase: 'running'}) === 1 ? scraped : undefined
  }, 'the task to run')
  expect(running.sum('a2a_worker_slots_used')).toBe(1)
  await fleet.http.call('POST', `/v1/opencode/tasks/${id}/cancel`)
  await fleet.ended(id)
  expect((await settled(finished + 1)).sum('a2a_worker_tasks_finished_total', {status: 'cancelled'})).toBe(1)
})

test('all metrics that the dashboard and the alerts name are exposed by a control plane or a worker', async () => {
  const plane = new Exposition(await (await fetch(`${fleet.url}/metrics`)).text())
  const worker = await scrape()
  const exposed = new Map([...plane.families, ...worker.families])
  const texts = ['deploy/grafana-dashboard.json', 'deploy/prometheus-alerts.yaml', 'test/metrics/alerts.yaml']
  for (const file of texts) {
    const named = readFileSync(join(root, file), 'utf8').match(/\ba2a_(?:plane|worker)_\w+/g) ?? []
    expect(named.length, file).toBeGreaterThan(10)
    const missing = named.filter((name) => {
      const base = name.replace(/_(?:bucket|sum|count)$/, '')
      return !exposed.has(name) && exposed.get(base)?.type !== 'histogram'
    })
    expect(missing, file).toEqual([])
  }
})

test('a worker is not ready without a connection and while it drains, and lives all the time', async () => {
  expect(await ask('/readyz')).toMatchObject({status: 200, body: {status: 'ready', worker: 'w'}})
  fleet.proxy.chooseAction = () => ({do: 'reset', when: 'before'})
  fleet.proxy.cut()
  const cut = await until(async () => {
    const answer = await ask('/readyz')
    return answer.status === 503 ? answer : undefined
  }, 'the worker to lose its connection')
  expect(cut.body).toMatchObject({status: 'not ready', detail: 'the control plane is out of reach'})
  expect(await ask('/livez')).toMatchObject({status: 200, body: {status: 'alive'}})
  const lost = await scrape()
  expect(lost.sum('a2a_worker_ready')).toBe(0)
  expect(lost.sum('a2a_worker_connection', {connection: 'down'})).toBe(1)
  expect(lost.sum('a2a_worker_reconnects_total')).toBe(1)
  fleet.proxy.chooseAction = () => ({do: 'pass'})
  await until(async () => (await ask('/readyz')).status === 200, 'the worker to be connected again')

  await fleet.http.task(fleet.codebase, {prompt: '@hang @trap'})
  await until(async () => (await scrape()).sum('a2a_worker_tasks_active', {phase: 'running'}) === 1, 'the task to run')
  fleet.worker.process.kill('SIGTERM')
  await says(fleet.worker, 'Worker is draining')
  expect(await ask('/readyz')).toMatchObject({status: 503, body: {detail: 'the worker is draining'}})
  expect((await ask('/livez')).status).toBe(200)
})

test('a worker that cannot register is alive and not ready', async () => {
  const args = ['start', '--server', 'http://127.0.0.1:9', '--name', 'early', '--health-addr', '0']
  const nowhere = start(args, {cwd: fleet.path, env: fleet.env})
  await using _ended = {[Symbol.asyncDispose]: async () => void (await stop(nowhere, 'SIGKILL'))}
  await says(nowhere, 'Health checks and metrics')
  const early = addressIn(nowhere.stderr())
  const answer = await fetch(`${early}/readyz`)
  expect([answer.status, await answer.json()]).toMatchObject([503, {detail: 'the worker is starting'}])
  expect((await fetch(`${early}/livez`)).status).toBe(200)
  expect(new Exposition(await (await fetch(`${early}/metrics`)).text()).sum('a2a_worker_ready')).toBe(0)
})

test('a taken port and an address for other machines without a token are refused with what to do', async () => {
  const {port} = new URL(address)
  const taken = await fleet.cli(['start', '--name', 'other', '--health-addr', port])
  expect(taken.code).toBe(75)
  expect(taken.stderr).toContain(`Another program listens on 127.0.0.1:${port} already (health_addr).`)
  expect(taken.stderr).toContain('Choose another port with --health-addr')
  const open = await fleet.cli(['start', '--health-addr', '0.0.0.0:9464'])
  expect(open.code).toBe(78)
  expect(open.stderr).toContain('other machines can reach 0.0.0.0: set health_token')
  for (const bad of ['x', '70000', ':9464', 'a b:1', '1.2.3.4', '-1']) {
    const {code, stderr} = await fleet.cli(['start', `--health-addr=${bad}`])
    expect([code, stderr], bad).toEqual([78, expect.stringContaining('must be PORT or HOST:PORT')])
  }

  const short = await fleet.run(['start', '--health-addr', '0'], {env: {...fleet.env, A2A_HEALTH_TOKEN: 'short'}})
  expect([short.code, short.stderr]).toEqual([78, expect.stringContaining('at least 16 visible ASCII characters')])
})

test('doctor says whether the port is free, that of a worker, or taken', async () => {
  const configWith = (health_addr: string) => resolveConfig({flags: {health_addr}, env: {}, files: [], cwd: '/'}).config
  const check = async (text: string) => (await checkHealthAddress({config: configWith(text)}))[0]
  expect(await check(new URL(address).port)).toMatchObject({state: 'ok', text: expect.stringContaining('of worker w')})
  const other = createServer((socket) =>
    socket
      .on('error', () => {})
      .resume()
      .end('no HTTP\n'),
  )
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const {port} = other.address() as AddressInfo
  expect(await check(String(port))).toMatchObject({
    state: 'problem',
    text: `health_addr 127.0.0.1:${port} is taken by another program`,
    fixes: [expect.stringContaining('config set health_addr'), expect.stringContaining('ss -ltnp')],
  })
  other.close()
  await once(other, 'close')
  expect(await check(String(port))).toMatchObject({state: 'ok', text: expect.stringContaining('is free')})
  expect(await check('0')).toBeUndefined()
})

test('with a token, metrics are shown for it only; health checks for everybody; other methods, paths and names get nothing', async () => {
  await using health = await serveHealth(
    {host: '127.0.0.1', port: 0},
    {
      token: 'a-token-of-16-chars',
      clock: systemClock,
      about: {worker: 'w'},
      notAlive: () => 'the worker has failed',
      notReady: () => undefined,
      metrics: async () => ({text: '# nothing\n', contentType: 'text/plain'}),
    },
  )
  const url = `http://127.0.0.1:${health.address.port}`
  const status = async (path: string, init: RequestInit = {}) => (await fetch(url + path, init)).status
  const bearer = (token: string) => ({headers: {authorization: `Bearer ${token}`}})
  expect(await status('/metrics')).toBe(401)
  expect(await status('/metrics', bearer('wrong'))).toBe(403)
  expect(await status('/metrics', bearer('a-token-of-16-chars'))).toBe(200)
  expect([await status('/livez'), await status('/readyz'), await status('/readyz?x=1')]).toEqual([503, 200, 200])
  expect([await status('/'), await status('/metrics/x'), await status('/readyz', {method: 'POST'})]).toEqual([
    404, 404, 405,
  ])
  const {stdout} = await execa('curl', ['-s', '-H', 'Host: evil.example', `${url}/readyz`])
  expect(stdout).toBe('{"detail":"This worker is not to be reached by that name"}')
})

const promtool = spawnSync('promtool', ['--version']).status === 0

test.runIf(promtool)('promtool accepts the alerts, their tests, the dashboard and both scrapes', async () => {
  const run = (args: string[], input?: string) =>
    spawnSync('promtool', args, {cwd: root, encoding: 'utf8', ...(input === undefined ? {} : {input})})
  const dashboard = readFileSync(join(root, 'deploy/grafana-dashboard.json'), 'utf8')
  const expressions = [...dashboard.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(([, text = '""']) =>
    (JSON.parse(text) as string).replaceAll('$__rate_interval', '5m'),
  )
  expect(expressions.length).toBeGreaterThan(30)
  const rules = expressions.map((expr, i) => ({record: `panel:query${i}`, expr}))
  const file = join(fleet.path, 'dashboard-rules.json')
  writeFileSync(file, JSON.stringify({groups: [{name: 'dashboard', rules}]}))
  const scrapes = await Promise.all([address, fleet.url].map(async (url) => (await fetch(`${url}/metrics`)).text()))
  for (const result of [
    run(['check', 'rules', 'deploy/prometheus-alerts.yaml', file]),
    run(['test', 'rules', 'test/metrics/alerts.yaml']),
    ...scrapes.map((text) => run(['check', 'metrics'], text)),
  ])
    expect([result.status, result.stdout + result.stderr]).toEqual([0, expect.any(String)])
})

test('a worker without health_addr loads no metrics, and with it only the parts of prom-client that count', async () => {
  const modulesOf = async (name: string, args: string[]) => {
    const log = join(fleet.path, `${name}.modules`)
    const hook = `--import ${join(root, 'test/fixtures/log-modules.mjs')}`
    const env = {...fleet.env, NODE_OPTIONS: hook, MODULES_LOG: log}
    const worker = start(['start', '--server', fleet.url, '--name', name, ...args], {cwd: fleet.path, env})
    await using _ended = {[Symbol.asyncDispose]: async () => void (await stop(worker, 'SIGKILL'))}
    await says(worker, 'Task stream connected')
    return readFileSync(log, 'utf8').split('\n')
  }
  const isMetrics = (url: string) => /\/prom-client\/|\/lib\/(?:metrics|daemon\/health)\//.test(url)
  expect((await modulesOf('plain', [])).filter(isMetrics)).toEqual([])
  const loaded = await modulesOf('scraped', ['--health-addr', '0'])
  expect(loaded.some((url) => url.endsWith('/prom-client/lib/counter.js'))).toBe(true)
  expect(
    loaded.filter((url) => /prom-client\/(?:index|lib\/(?:cluster|pushgateway|defaultMetrics))\.js/.test(url)),
  ).toEqual([])
})
