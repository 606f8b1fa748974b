// What a task and a stream cost the control plane. Simulated workers speak the real protocol with it. The floor is bare
// hono that answers the same requests after one insert and a group commit.
import {once} from 'node:events'
import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {SimulatedWorkers, type FleetOptions} from './plane/simulated-workers.ts'
import {copyTasks} from './plane/stored-tasks.ts'
import {
  cpuMs,
  environment,
  median,
  quantile,
  report,
  residentMb,
  scratchFolder,
  sleep,
  startProgram,
  urlOf,
} from './support.ts'

const tasks = Number(process.env['TASKS'] ?? 20_000)
const rounds = Number(process.env['ROUNDS'] ?? 5)
const beatRounds = Number(process.env['BEATS'] ?? 3)
const manyWorkers = Number(process.env['WORKERS'] ?? 1000)
const manyTasks = Number(process.env['STORED'] ?? 50_000)
const inFlight = 32
const beatMs = 15_000

using scratch = scratchFolder()
await using stack = new AsyncDisposableStack()
const preload = join(import.meta.dirname, 'plane/collect-garbage.mjs')

type Server = {url: string; pid: number; stop: () => Promise<void>}

async function start(name: string, script: string, args: string[]): Promise<Server> {
  const folder = join(scratch.path, name)
  mkdirSync(folder, {recursive: true})
  const env = environment(folder, '/bin/false', {NODE_OPTIONS: `--import ${preload}`})
  const program = stack.use(startProgram(args, env, folder, script))
  const url = await urlOf(program, name)
  const stop = async () => {
    program.child.kill()
    await once(program.child, 'exit')
  }
  return {url, pid: program.child.pid ?? 0, stop}
}

const startPlane = (name: string) =>
  start(name, join(import.meta.dirname, '../bin/run.js'), [
    ...['serve', '--port', '0', '--max-requests', '0', '--max-streams', '10000'],
    ...['--db', join(scratch.path, `${name}.db`)],
  ])

/** A control plane that has run `stored` tasks before, and its workers. */
async function startPoint(name: string, {stored, ...fleet}: FleetOptions & {stored: number}) {
  const first = await startPlane(name)
  await using filling = new SimulatedWorkers(first.url)
  await filling.register({workers: 1, codebasesEach: 1})
  await filling.connect()
  await filling.run(1, 1)
  await first.stop()
  copyTasks(join(scratch.path, `${name}.db`), stored)
  return await connect(await startPlane(name), {name, stored, ...fleet})
}

async function connect(server: Server, {name, stored, ...options}: FleetOptions & {name: string; stored: number}) {
  const fleet = stack.use(new SimulatedWorkers(server.url))
  await fleet.register(options)
  const before = await settledKiB(server.pid)
  await fleet.connect()
  const perStream = ((await settledKiB(server.pid)) - before) / options.workers
  await fleet.run(200, inFlight) // warms up
  return {name, stored, ...options, ...server, fleet, perStream, measured: [] as Measured[]}
}

type Point = Awaited<ReturnType<typeof connect>>
type Measured = {rate: number; cpu: number; p50: number; p99: number}

/** The memory of a process after its garbage was collected. */
async function settledKiB(pid: number): Promise<number> {
  for (let i = 0; i < 3; i++) {
    process.kill(pid, 'SIGUSR2')
    await sleep(300)
  }

  return residentMb(pid) * 1024
}

async function measure({fleet, pid, measured}: Point, count: number): Promise<void> {
  const before = cpuMs(pid)
  const {ms, waits} = await fleet.run(count, inFlight)
  const cpu = (cpuMs(pid) - before) / count
  measured.push({rate: (1000 * count) / ms, cpu, p50: quantile(waits, 0.5), p99: quantile(waits, 0.99)})
}

const of = ({measured}: Point, key: keyof Measured) => median(measured.map((one) => one[key]))

const many = {workers: manyWorkers, codebasesEach: 1}
const floor = await connect(await start('floor', join(import.meta.dirname, 'plane/bare-plane.ts'), [scratch.path]), {
  ...{name: 'floor', stored: 0, workers: 20, codebasesEach: 2},
})
const main = await startPoint('main', {stored: 1000, workers: 20, codebasesEach: 2})
const points = [
  main,
  await startPoint('stored', {stored: manyTasks, workers: 20, codebasesEach: 2}),
  await startPoint('few', {stored: 1000, workers: 10, codebasesEach: 4}),
  await startPoint('many', {stored: 1000, ...many}),
]
const wide = points.at(-1) as Point

for (let round = 0; round < rounds; round++) {
  await measure(floor, Math.ceil(tasks / rounds))
  for (const point of points) await measure(point, Math.ceil(tasks / rounds / (point === main ? 1 : 4)))
}

report('echo tasks per second', of(main, 'rate'), of(floor, 'rate'), '/s', '≥ 0.5')
report('  CPU of the control plane per task', of(main, 'cpu'), of(floor, 'cpu'), 'ms', '≤ 2')
report('  created → assigned p50', of(main, 'p50'), of(floor, 'p50'), 'ms', '≤ 2')
report('  created → assigned p99', of(main, 'p99'), of(floor, 'p99'), 'ms', '≤ 2')
for (const point of points.slice(1)) {
  const what = `  CPU: ${point.stored} ended, ${point.workers} workers`
  report(what, of(point, 'cpu'), of(main, 'cpu'), 'ms', '≈ 1')
}

const beats: Record<'heartbeat' | 'health', number[]> = {heartbeat: [], health: []}
for (let round = 0; round < beatRounds; round++)
  for (const kind of ['heartbeat', 'health'] as const) {
    const before = cpuMs(wide.pid)
    await wide.fleet.beat(kind, beatMs)
    beats[kind].push((cpuMs(wide.pid) - before) / (beatMs / 1000))
  }

const core = (kind: keyof typeof beats) => median(beats[kind]) / 10
report(`% of a core: ${manyWorkers} heartbeats in 15 s`, core('heartbeat'), core('health'), '%', '≤ 1.5')
process.stdout.write(`  memory of the control plane per stream: ${wide.perStream.toFixed(0)} KiB\n`)
