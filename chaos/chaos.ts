// Injects faults into real processes that run many tasks with known output. At the end it compares the state of the
// control plane with the records of the agents. `npm run chaos -- --minutes 30 --seed 1`
import {rmSync} from 'node:fs'
import {parseArgs} from 'node:util'
import {audit, counts, type Audit} from './audit.ts'
import {faults, type Fault} from './faults.ts'
import {createTasks, isFinal, type CreatedTask} from './load.ts'
import {seeded, type Random} from './random.ts'
import {appendLog, processesOf, startWorld, type World} from './world.ts'

const {values: options} = parseArgs({
  options: {
    minutes: {type: 'string', default: '5'},
    seed: {type: 'string', default: String(Date.now() % 1_000_000)},
    /** Leaves out the real OpenCode, which starts too slowly for a short run. */
    'no-real': {type: 'boolean', default: false},
    /** Agents run as this user. The real OpenCode is left out then, as it needs a home. */
    'agent-user': {type: 'string'},
    /** `redis`: the state is in Redis, for several control planes. */
    engine: {type: 'string', default: 'sqlite'},
    replicas: {type: 'string', default: '2'},
    fsync: {type: 'string', default: 'always'},
    keep: {type: 'boolean', default: false},
    only: {type: 'string'},
  },
})
const agentUser = options['agent-user']
const replicas = options.engine === 'redis' ? Number(options.replicas) : 0
const appendfsync = options.fsync === 'everysec' ? 'everysec' : 'always'
const minutes = Number(options.minutes)
const seed = Number(options.seed)
/** How long all tasks may take to end after the last fault. */
const settleTimeoutMs = 240_000

const print = (line: string) => process.stdout.write(`${line}\n`)
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const replay = `npm run chaos -- --minutes ${options.minutes} --seed ${seed}${options['no-real'] ? ' --no-real' : ''}${agentUser === undefined ? '' : ` --agent-user ${agentUser}`}${replicas === 0 ? '' : ` --engine redis --replicas ${replicas} --fsync ${appendfsync}`}`

/** Each fault once in random order, then by weight. */
function* schedule(world: World, random: Random): Generator<Fault> {
  const possible = faults.filter(
    ({name, isLong, needsDisk, needsReplicas}) =>
      (minutes >= 3 || !isLong) &&
      (world.disks.length > 0 || !needsDisk) &&
      (replicas > 0 || !needsReplicas) &&
      (!options.only || name.includes(options.only)),
  )
  for (const rest = [...possible]; rest.length > 0;) yield* rest.splice(random.int(0, rest.length - 1), 1)
  const weighted = possible.flatMap((fault) => Array.from({length: fault.weight}, () => fault))
  for (;;) yield random.pick(weighted)
}

/** Injects one fault after the other, sometimes several at once. Resolves when the last has ended. */
async function injectFaults(world: World, random: Random, deadline: number): Promise<Map<string, number>> {
  const done = new Map<string, number>()
  const busy = new Set<Promise<void>>()
  for (const fault of schedule(world, random)) {
    if (Date.now() >= deadline) break
    const worker = random.pick(world.workers)
    done.set(fault.name, (done.get(fault.name) ?? 0) + 1)
    appendLog(world, 'faults', `${new Date().toISOString()} ${fault.name} (${worker.process.name})\n`)
    const run: Promise<void> = fault.run({world, worker, random: random.fork(), sleep}).finally(() => busy.delete(run))
    busy.add(run)
    await sleep(random.int(100, 1500))
    if (busy.size > 3) await Promise.race(busy)
  }

  await Promise.all(busy)
  return done
}

/** Ends all faults, and waits until every task has ended and no process is left. */
async function waitUntilSettled(world: World, created: readonly CreatedTask[]): Promise<void> {
  for (const {process, proxy} of world.workers) {
    process.signal('SIGCONT')
    proxy.chooseAction = () => ({do: 'pass'})
    proxy.setBlackHole(false)
  }
  for (const plane of world.planes) plane.signal('SIGCONT')
  for (const cable of world.cables) cable.setBlackHole(false)
  const deadline = Date.now() + settleTimeoutMs
  while (Date.now() < deadline) {
    const states = await Promise.all(created.map(({id}) => world.client.task(id)))
    if (states.every((task) => isFinal(task)) && processesOf(world).length === 0) return
    await sleep(500)
  }
}

function report(
  {totals, findings, outcomes, bytes, starts, cancelledOffline}: Audit,
  created: readonly CreatedTask[],
  done: Map<string, number>,
) {
  print(
    `\nseed ${seed}, ${minutes} min: ${created.length} tasks (${JSON.stringify(outcomes)}), ${starts} agent starts,`,
  )
  print(`${(bytes / 2 ** 20).toFixed(1)} MiB of output, ${[...done.values()].reduce((a, b) => a + b, 0)} faults\n`)
  for (const [name, times] of [...done].toSorted()) print(`${String(times).padStart(6)}  ${name}`)
  print(
    `\n${String(cancelledOffline).padStart(6)}  (tasks cancelled while their worker was unreachable, or before it had them)`,
  )
  for (const count of counts) print(`${String(totals[count]).padStart(6)}  ${count}`)
  for (const finding of findings.slice(0, 40)) print(`  ${finding}`)
}

const random = seeded(seed)
const world = await startWorld(random.fork(), {
  withReal: !options['no-real'] && agentUser === undefined,
  agentUser,
  replicas,
  appendfsync,
})
let isClean = false
try {
  print(`${replay}   (in ${world.folder})`)
  if (world.disks.length === 0) print('No disk is filled, because this user may not mount one.')
  const stop = new AbortController()
  const creating = createTasks(world, random.fork(), stop.signal)
  const done = await injectFaults(world, random.fork(), Date.now() + minutes * 60_000)
  stop.abort()
  const created = await creating
  await waitUntilSettled(world, created)
  const result = await audit(world, created)
  report(result, created, done)
  isClean = counts.every((count) => result.totals[count] === 0) && created.length > 0
  print(
    isClean ? '\nNothing was lost.' : `\nSomething is wrong. Repeat with: ${replay}   (logs in ${world.folder}/log)`,
  )
} finally {
  await world[Symbol.asyncDispose]()
  if (isClean && !options.keep) rmSync(world.folder, {recursive: true, force: true, maxRetries: 5})
}

process.exitCode = isClean ? 0 : 1
