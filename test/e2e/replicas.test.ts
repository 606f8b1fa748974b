import {existsSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {isFinal} from '../../src/lib/protocol/schemas.ts'
import {answering, printing, stepStart, text} from '../support/agent-lines.ts'
import {stop, type Running} from '../support/cli.ts'
import {startNginx} from '../support/nginx.ts'
import {caller} from '../support/plane.ts'
import {startRedis, type RedisServer} from '../support/redis.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {assertRunning, openWorkshop} from '../support/workshop.ts'

/** Two control planes as processes, with their state in Redis, behind a real nginx, and a worker that only knows nginx. */
let redis: RedisServer
let shop: ReturnType<typeof openWorkshop>
let nginx: Awaited<ReturnType<typeof startNginx>>
let planes: {process: Running; url: string}[]
let worker: Running
let codebase = ''
let path = ''

async function serve(name: string, port = 0) {
  const env = {...shop.env, A2A_REDIS_URL: redis.url, A2A_STATE_DIR: join(shop.path, name)}
  const process = shop.start(['serve', '--port', String(port)], {env})
  const url = await until(() => process.stdout().trim() || assertRunning(process), `${name} to listen`)
  return {process, url}
}

beforeAll(async () => {
  redis = await startRedis()
  shop = openWorkshop({OPENCODE_BIN_PATH: stubBinary})
  planes = [await serve('a'), await serve('b')]
  nginx = await startNginx(
    shop.path,
    planes.map(({url}) => url),
  )
  path = repository(join(shop.path, 'app'))
  worker = await shop.worker(nginx.url, 'w', [path], ['--poll-interval', '1'])
  const all = (await caller(nginx.url).call('GET', '/v1/opencode/codebases')).body as {id: string; path: string}[]
  codebase = all.find((one) => one.path === path)?.id ?? ''
}, 120_000)
afterAll(async () => {
  await nginx?.[Symbol.asyncDispose]()
  await shop?.[Symbol.asyncDispose]()
  await redis?.[Symbol.asyncDispose]()
})

const at = (index: number) => caller(planes[index]?.url ?? '')
const script = (name: string, steps: string) =>
  `${printing(stepStart())}echo ran >>${name}.ran\n${steps}\n${answering(name)}`
const runsOf = (name: string) => readFileSync(join(path, `${name}.ran`), 'utf8').split('\n').length - 1

async function ended(index: number, task: string) {
  return await until(
    async () => {
      const now = await at(index)
        .get(task)
        .catch(() => undefined)
      return now && isFinal(now.status) ? now : undefined
    },
    `task ${task} to end`,
    60_000,
  )
}

test('lists that are read 200 times through nginx never differ', async () => {
  const tasks = await Promise.all(
    Array.from({length: 5}, (_, n) => at(n % 2).task(codebase, {agent_type: 'echo', prompt: `e${n}`})),
  )
  for (const {id} of tasks) await ended(0, id)
  const {call} = caller(nginx.url)
  for (const route of [
    '/v1/opencode/workers',
    '/v1/opencode/codebases',
    '/v1/opencode/tasks',
    '/v1/worker/connected',
  ]) {
    const seen = new Set<string>()
    for (let n = 0; n < 50; n++) {
      const {body} = await call('GET', route)
      seen.add(JSON.stringify(body).replaceAll(/"(?:last_seen|last_heartbeat|timestamp)":"[^"]*"/g, ''))
    }
    expect([...seen], route).toHaveLength(1)
  }
})

test('a task is created through one, followed through the other, and cancelled through the first', async () => {
  const hold = 'touch held.begun; while [ ! -e held.go ]; do sleep 0.05; done'
  const task = await at(0).task(codebase, {prompt: script('held', hold)})
  const follower = shop.start(['tasks', 'output', task.id, '--follow', '--server', planes[1]?.url ?? ''])
  await until(() => existsSync(join(path, 'held.begun')), 'the agent to begin')
  expect((await at(0).call('POST', `/v1/opencode/tasks/${task.id}/cancel`)).status).toBe(200)
  expect((await ended(1, task.id)).status).toBe('cancelled')
  await until(() => follower.process.exitCode !== null, 'the follower to end')
})

test('the workers of a control plane that is stopped are at the other one within a second', async () => {
  const connectedAt = async (index: number) =>
    (await at(index).call('GET', '/v1/worker/connected')).body.workers[0]?.connected_at as string | undefined
  const times: number[] = []
  for (const index of [0, 1, 0]) {
    const before = await until(() => connectedAt(1 - index), 'the worker to be connected')
    const stopped = planes[index]
    if (!stopped) throw new Error('no such control plane')
    const begun = performance.now()
    stopped.process.process.kill('SIGTERM')
    const now = await until(async () => {
      const time = await connectedAt(1 - index)
      return time !== undefined && (time !== before || stopped.process.process.exitCode !== null) ? time : undefined
    }, 'the worker to be connected again')
    if (now !== before) times.push(performance.now() - begun)
    await until(() => stopped.process.process.exitCode !== null, 'the control plane to end')
    planes[index] = await serve(index === 0 ? 'a' : 'b', Number(new URL(stopped.url).port))
  }
  // It was connected to one of the two, so one of these stops has moved it.
  expect(times.length).toBeGreaterThan(0)
  expect(Math.max(...times), worker.stderr()).toBeLessThan(1000)
})

test('a control plane that is killed in mid-task costs a reconnect: the output is complete, and the task ran once', async () => {
  for (const index of [0, 1]) {
    const name = `kill-${index}`
    const lines = Array.from({length: 20}, (_, n) => printing(text(`line ${n}`)))
    const steps = `${lines.slice(0, 10).join('')}touch ${name}.half; while [ ! -e ${name}.go ]; do sleep 0.05; done\n${lines.slice(10).join('')}`
    const task = await at(index).task(codebase, {prompt: script(name, steps)})
    await until(() => existsSync(join(path, `${name}.half`)), 'half of the output')
    const killed = planes[index]
    if (!killed) throw new Error('no such control plane')
    await stop(killed.process, 'SIGKILL')
    writeFileSync(join(path, `${name}.go`), '')
    const other = 1 - index
    expect(await ended(other, task.id)).toMatchObject({status: 'completed', attempt: 1})
    expect(runsOf(name)).toBe(1)
    const page = (await at(other).call('GET', `/v1/opencode/tasks/${task.id}/output?since=0`)).body
    const output = page.outputs.map((piece: {output: string}) => piece.output).join('')
    expect([...output.matchAll(/line (\d+)/g)].map(([, n]) => Number(n))).toEqual(Array.from({length: 20}, (_, n) => n))
    planes[index] = await serve(index === 0 ? 'a' : 'b', Number(new URL(killed.url).port))
    expect((await at(index).get(task.id)).status).toBe('completed')
  }
  expect(worker.process.exitCode).toBeNull()
})
