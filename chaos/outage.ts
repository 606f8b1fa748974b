// Stops the control plane for some minutes and kills a worker meanwhile. At the end it compares the state of the
// control plane with the records of the agents. `npm run outage -- --minutes 10`
import {rmSync} from 'node:fs'
import {parseArgs} from 'node:util'
import {audit, counts} from './audit.ts'
import {isFinal, registeredCodebases, type CreatedTask, type Plan} from './load.ts'
import {seeded} from './random.ts'
import {processesOf, startWorld, type World} from './world.ts'

const {values: options} = parseArgs({options: {minutes: {type: 'string', default: '10'}}})
const minutes = Number(options.minutes)
const print = (line: string) => process.stdout.write(`${line}\n`)
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

const basePlan: Plan = {lines: 0, pauseMs: 250, bytes: 100, end: 'done', child: 'none', traps: false}
const linesFor = (seconds: number) => Math.round((seconds * 1000) / basePlan.pauseMs)

/** Per worker: a task that ends during the outage, one that outlasts it, and one that ends after the worker's death. */
async function createTasks(world: World): Promise<CreatedTask[]> {
  const {client, workers} = world
  const trees = await registeredCodebases(world)
  const paths = workers.flatMap(({paths: own, process}) => own.map((path) => ({path, worker: process.name})))
  const lengths = [minutes * 60 * 0.3, minutes * 60 * 1.2, minutes * 60 * 0.8]
  const created: CreatedTask[] = []
  for (const [i, {path, worker}] of paths.entries()) {
    const plan = {...basePlan, lines: linesFor(lengths[i % lengths.length] ?? 0), child: 'folder' as const}
    const codebase = trees.get(path) ?? ''
    const {id} = await client.create(codebase, {title: `task ${i}`, prompt: JSON.stringify(plan)}, `outage-${i}`)
    created.push({id, plan, worker, wasCancelled: false, isOver: false})
  }

  return created
}

async function until(look: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 300_000; Date.now() < deadline && !(await look()); await sleep(300));
}

const world = await startWorld(seeded(1), {withReal: false, replicas: 0, appendfsync: 'always'})
let isClean = false
try {
  const {client, planes, workers} = world
  const [plane] = planes
  const created = await createTasks(world)
  const states = () => Promise.all(created.map(({id}) => client.task(id)))
  await until(async () => (await states()).every(({status}) => status === 'running'))
  print(`${created.length} tasks run; the control plane is down for ${minutes} min   (in ${world.folder})`)
  plane?.setDown(true)
  plane?.signal('SIGKILL')
  await sleep(minutes * 30_000)
  workers[0]?.process.signal('SIGKILL')
  await sleep(minutes * 30_000)
  plane?.setDown(false)
  await until(async () => (await states()).every((task) => isFinal(task)) && processesOf(world).length === 0)
  const {totals, findings, outcomes, bytes, starts} = await audit(world, created)
  print(`${JSON.stringify(outcomes)}, ${starts} agent starts, ${bytes} bytes of output`)
  for (const count of counts) print(`${String(totals[count]).padStart(6)}  ${count}`)
  for (const finding of findings) print(`  ${finding}`)
  isClean =
    counts.every((count) => totals[count] === 0) &&
    outcomes['completed'] === created.length &&
    starts === created.length
  print(isClean ? '\nEach task ran once, and nothing was lost.' : `\nSomething is wrong (logs in ${world.folder}/log)`)
} finally {
  await world[Symbol.asyncDispose]()
  if (isClean) rmSync(world.folder, {recursive: true, force: true, maxRetries: 5})
}

process.exitCode = isClean ? 0 : 1
