// Control planes that share their state in Redis: what the store does without HTTP, what tasks cost over HTTP compared
// with SQLite, and what it costs that a task is created at another replica than the one that has the stream.
import {fork} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {Redis} from 'ioredis'
import {startRedis} from '../test/support/redis.ts'
import {SimulatedWorkers} from './plane/simulated-workers.ts'
import {copyTasks} from './plane/stored-tasks.ts'
import {
  cpuMs,
  environment,
  median,
  quantile,
  report,
  residentMb,
  scratchFolder,
  startProgram,
  urlOf,
} from './support.ts'

const lives = Number(process.env['LIVES'] ?? 4000)
const tasks = Number(process.env['TASKS'] ?? 2000)
const rounds = Number(process.env['ROUNDS'] ?? 3)
const stored = Number(process.env['STORED'] ?? 50_000)
const appendfsync = process.env['FSYNC'] === 'always' ? 'always' : 'everysec'
const inFlight = 64

using scratch = scratchFolder()
await using stack = new AsyncDisposableStack()
const data = join(scratch.path, 'data')
mkdirSync(data)
const redis = stack.use(await startRedis({saves: {folder: data, appendfsync}}))
const client = new Redis(redis.url)
stack.defer(() => client.disconnect())
process.stdout.write(`Redis with appendfsync ${appendfsync}\n`)

/** The floor of a commit: a script that does nothing. */
async function emptyScripts(): Promise<number> {
  const sha = (await client.script('LOAD', 'return 1')) as string
  const begun = performance.now()
  let left = 20_000
  const lane = async () => {
    while (left-- > 0) await client.evalsha(sha, 0)
  }
  await Promise.all(Array.from({length: inFlight}, lane))
  return 20_000 / ((performance.now() - begun) / 1000)
}

/** Lives per second through this many replicas, each a process. */
async function storeLives(replicas: number, round: number): Promise<number> {
  const prefix = `{lives-${replicas}-${round}}:`
  const script = join(import.meta.dirname, 'shared/store-lives.ts')
  const started = await Promise.all(
    Array.from({length: replicas}, async (_, i) => {
      const args = [redis.url, prefix, `r${i}`, String(lives / replicas), String(inFlight / replicas)]
      const child = fork(script, args)
      await once(child, 'message')
      return child
    }),
  )
  const times = await Promise.all(
    started.map(async (child) => {
      child.send('go')
      const [ms] = (await once(child, 'message')) as [number]
      await once(child, 'exit')
      return ms
    }),
  )
  return lives / (Math.max(...times) / 1000)
}

async function startPlane(name: string, args: string[]) {
  const folder = join(scratch.path, name)
  mkdirSync(folder, {recursive: true})
  const all = ['serve', '--port', '0', '--max-requests', '0', '--max-streams', '10000', ...args]
  const program = stack.use(startProgram(all, environment(folder, '/bin/false'), folder))
  const url = await urlOf(program, name)
  return {url, pid: program.child.pid ?? 0, program}
}

async function fleetOf(planes: readonly {url: string}[], workers: number, names = 'b'): Promise<SimulatedWorkers> {
  const [first, second = first] = planes
  const fleet = stack.use(new SimulatedWorkers(first?.url ?? '', {creates: second?.url ?? '', names}))
  await fleet.register({workers, codebasesEach: 2})
  await fleet.connect()
  await fleet.run(300, 32)
  return fleet
}

const shared = (prefix: string) => ['--redis-url', redis.url, '--redis-prefix', prefix]

const sqlite = await startPlane('sqlite', ['--db', join(scratch.path, 'sqlite.db')])
const alone = await startPlane('alone', shared('{alone}:'))
const [a, b] = [await startPlane('a', shared('{pair}:')), await startPlane('b', shared('{pair}:'))]
const fleets = {
  sqlite: await fleetOf([sqlite], 20),
  alone: await fleetOf([alone], 20),
  same: await fleetOf([a], 20, 'same'),
  across: await fleetOf([a, b], 20, 'across'),
}

type Name = keyof typeof fleets
const rates: Record<Name, number[]> = {sqlite: [], alone: [], same: [], across: []}
const waits: Record<Name, number[]> = {sqlite: [], alone: [], same: [], across: []}
const store: Record<'empty' | 'one' | 'two', number[]> = {empty: [], one: [], two: []}
for (let round = 0; round < rounds; round++) {
  store.empty.push(await emptyScripts())
  store.one.push(await storeLives(1, round))
  store.two.push(await storeLives(2, round))
  for (const [name, fleet] of Object.entries(fleets) as [Name, SimulatedWorkers][]) {
    const run = await fleet.run(tasks, 32)
    rates[name].push((1000 * tasks) / run.ms)
    waits[name].push(quantile((await fleet.run(200, 1)).waits, 0.5))
  }
}

report('store: task lives/s, one replica', median(store.one), median(store.empty), '/s', 'prototype 2,000–3,500')
report('store: task lives/s, two replicas', median(store.two), median(store.empty), '/s', 'prototype 1,400–2,300')
report('HTTP: echo tasks/s, one replica', median(rates.alone), median(rates.sqlite), '/s', '≥ 0.8 of SQLite')
report('HTTP: echo tasks/s, two replicas', median(rates.across), median(rates.sqlite), '/s', 'none')
report('created → assigned p50, one in flight', median(waits.alone), median(waits.sqlite), 'ms', '≤ 1.5')
report('created at another replica', median(waits.across), median(waits.same), 'ms', '≤ 1.5')

// the size of a task, and the cost of tasks over many stored ones
const seed = await startPlane('seed', ['--db', join(scratch.path, 'seed.db')])
const seeding = await fleetOf([seed], 1)
await seeding.run(1, 1)
seed.program.child.kill()
await once(seed.program.child, 'exit')
copyTasks(join(scratch.path, 'seed.db'), stored)
const begun = performance.now()
const many = await startPlane('many', [...shared('{many}:'), '--import', join(scratch.path, 'seed.db')])
process.stdout.write(`${stored} tasks imported and served after ${((performance.now() - begun) / 1000).toFixed(1)} s\n`)
const image = Number(await client.hget('{many}:image', 'bytes'))
process.stdout.write(`  the image of ${stored} ended tasks: ${(image / stored).toFixed(0)} bytes a task in Redis\n`)
const full = await fleetOf([many], 20, 'many')
const costs: number[] = []
const few: number[] = []
for (let round = 0; round < rounds; round++) {
  const before = [cpuMs(many.pid), cpuMs(alone.pid)]
  await full.run(tasks / 2, 32)
  await fleets.alone.run(tasks / 2, 32)
  costs.push(((cpuMs(many.pid) - (before[0] ?? 0)) * 2) / tasks)
  few.push(((cpuMs(alone.pid) - (before[1] ?? 0)) * 2) / tasks)
}
report(`CPU per task over ${stored} stored`, median(costs), median(few), 'ms', '≈ 1')

const used = async (key: string) => Number(await client.memory('USAGE', key, 'SAMPLES', 0))
const perLife = (await used('{lives-1-0}:log')) / lives
process.stdout.write(`  the log: ${perLife.toFixed(0)} bytes a task with 1 kB each of prompt, output and result\n`)

const quiet = [residentMb(a.pid), residentMb(b.pid)]
const [left, right] = [
  stack.use(new SimulatedWorkers(a.url, {creates: a.url, names: 'left'})),
  stack.use(new SimulatedWorkers(b.url, {creates: b.url, names: 'right'})),
]
for (const fleet of [left, right]) {
  await fleet.register({workers: 500, codebasesEach: 1})
  await fleet.connect()
}
const per = [a, b].map(({pid}, i) => ((residentMb(pid) - (quiet[i] ?? 0)) * 1024) / 500)
process.stdout.write(
  `  2 × 500 streams: ${per.map((kib) => kib.toFixed(0)).join(' and ')} KiB a stream, for all 1,000 workers\n`,
)

const before = [a.pid, b.pid, redis.process.pid ?? 0].map((pid) => cpuMs(pid))
await Promise.all([left.beat('heartbeat', 15_000), right.beat('heartbeat', 15_000)])
const [ofA = 0, ofB = 0, ofRedis = 0] = [a.pid, b.pid, redis.process.pid ?? 0].map(
  (pid, i) => (cpuMs(pid) - (before[i] ?? 0)) / 150,
)
process.stdout.write(
  `  1,000 heartbeats in 15 s: ${ofA.toFixed(1)} and ${ofB.toFixed(1)} % of a core for the replicas, ${ofRedis.toFixed(1)} % for Redis\n`,
)
