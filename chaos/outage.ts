// Takes the control plane away for real minutes, kills the worker in the middle of it, and compares in the end what the
// control plane has with what the agents wrote down. `npm run outage -- --minutes 10`
import {rmSync} from 'node:fs'
import {parseArgs} from 'node:util'
import {audit, counts} from './audit.ts'
import {isFinal, serving, type Given, type Plan} from './load.ts'
import {seeded} from './random.ts'
import {processesOf, startWorld, type World} from './world.ts'

const {values: options} = parseArgs({options: {minutes: {type: 'string', default: '10'}}})
const minutes = Number(options.minutes)
const print = (line: string) => process.stdout.write(`${line}\n`)
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

const whole: Plan = {lines: 0, pauseMs: 250, bytes: 100, end: 'done', child: 'none', traps: false}
const linesFor = (seconds: number) => Math.round((seconds * 1000) / whole.pauseMs)

/** One that ends while nobody listens, one that outlasts the outage, and one whose worker dies meanwhile. */
async function giveTasks(world: World): Promise<Given[]> {
  const {client, workers} = world
  const trees = await serving(world)
  const paths = workers.flatMap(({paths: own, process}) => own.map((path) => ({path, worker: process.name})))
  const lengths = [minutes * 60 * 0.3, minutes * 60 * 1.2, minutes * 60 * 0.8]
  const given: Given[] = []
  for (const [i, {path, worker}] of paths.entries()) {
    const plan = {...whole, lines: linesFor(lengths[i % lengths.length] ?? 0), child: 'folder' as const}
    const codebase = trees.get(path) ?? ''
    const {id} = await client.create(codebase, {title: `task ${i}`, prompt: JSON.stringify(plan)}, `outage-${i}`)
    given.push({id, plan, worker, wasCancelled: false, isOver: false})
  }

  return given
}

async function until(look: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 300_000; Date.now() < deadline && !(await look()); await sleep(300));
}

const world = await startWorld(seeded(1), {withReal: false})
let isClean = false
try {
  const {client, plane, workers} = world
  const given = await giveTasks(world)
  const states = () => Promise.all(given.map(({id}) => client.task(id)))
  await until(async () => (await states()).every(({status}) => status === 'running'))
  print(`${given.length} tasks run; the control plane goes away for ${minutes} min   (in ${world.folder})`)
  plane.hold(true)
  plane.signal('SIGKILL')
  await sleep(minutes * 30_000)
  workers[0]?.process.signal('SIGKILL')
  await sleep(minutes * 30_000)
  plane.hold(false)
  await until(async () => (await states()).every((task) => isFinal(task)) && processesOf(world).length === 0)
  const {totals, findings, outcomes, bytes, starts} = await audit(world, given)
  print(`${JSON.stringify(outcomes)}, ${starts} starts of an agent, ${bytes} bytes of output`)
  for (const count of counts) print(`${String(totals[count]).padStart(6)}  ${count}`)
  for (const finding of findings) print(`  ${finding}`)
  isClean =
    counts.every((count) => totals[count] === 0) && outcomes['completed'] === given.length && starts === given.length
  print(
    isClean ? '\nEach task was run once, and nothing was lost.' : `\nSomething is wrong (logs in ${world.folder}/log)`,
  )
} finally {
  await world[Symbol.asyncDispose]()
  if (isClean) rmSync(world.folder, {recursive: true, force: true, maxRetries: 5})
}

process.exitCode = isClean ? 0 : 1
