// The cost of the journal for the dispatch of a task and for a run that prints 50 MB. Two workers of the same control
// plane take turns: one has its journal on disk, the other in memory.
import {existsSync, mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {
  agentLog,
  buildAgent,
  calibrate,
  elapsed,
  environment,
  httpCaller,
  median,
  nowNs,
  report,
  scratchFolder,
  sleep,
  startProgram,
  until,
} from './support.ts'

const rounds = Number(process.env['ROUNDS'] ?? 5)
const tasksPerRound = Number(process.env['TASKS'] ?? 60)
const megabytes = Number(process.env['MB'] ?? 50)
const kinds = ['disk', 'memory'] as const
type Kind = (typeof kinds)[number]

using scratch = scratchFolder()
const env = environment(scratch.path, buildAgent(scratch.path))
await using plane = startProgram(['serve', '--port', '0'], env, scratch.path)
const url = await until(() => plane.stdout().trim(), 'the control plane')
const call = httpCaller(url)
const readAgentLog = agentLog(join(scratch.path, 'agent.log'))

function startWorker(kind: Kind) {
  const path = join(scratch.path, kind)
  mkdirSync(path)
  const preload = join(import.meta.dirname, 'memory-journal.mjs')
  const more = kind === 'memory' ? {NODE_OPTIONS: `--import ${preload}`} : {}
  return startProgram(['start', '--server', url, '--name', kind, '--codebase', path], {...env, ...more}, scratch.path)
}

await using disk = startWorker('disk')
await using memory = startWorker('memory')
const workers = {disk, memory}

const codebaseOf = async (kind: Kind) => {
  const all = (await call('GET', '/v1/opencode/codebases')) as {id: string; path: string; served: boolean | null}[]
  return all.find(({path, served}) => path === join(scratch.path, kind) && served !== false)?.id
}
const ids = {
  disk: await until(() => codebaseOf('disk'), 'the worker'),
  memory: await until(() => codebaseOf('memory'), 'the worker with its journal in memory'),
}
const connected = async () => ((await call('GET', '/v1/worker/connected')) as {count: number}).count
await until(async () => (await connected()) === 2, 'both workers')

// The worker creates the file, so that only its user reads it. In memory, nothing writes to it.
if (existsSync(join(scratch.path, 'state/workers/memory/journal.db-wal')))
  throw new Error('the journal is not in memory')

/** The time from POST to the agent's first instruction, and to the completed task, in ms. */
async function run(kind: Kind, prompt: string): Promise<{dispatch: number; whole: number}> {
  const posted = nowNs()
  const answer = await call('POST', `/v1/opencode/codebases/${ids[kind]}/tasks`, {title: 't', prompt})
  const {id} = (answer as {task: {id: string}}).task
  const seen: ReturnType<typeof readAgentLog> = []
  for (const limit = performance.now() + 60_000; !seen.some(({ev}) => ev === 'start'); seen.push(...readAgentLog())) {
    await sleep(2)
    if (performance.now() > limit) throw new Error(`the agent did not start: ${workers[kind].stderr()}`)
  }

  const start = BigInt(seen.find(({ev}) => ev === 'start')?.t ?? 0)
  const isDone = async () =>
    ((await call('GET', `/v1/opencode/tasks/${id}`)) as {status: string}).status === 'completed'
  await until(isDone, 'the task to be completed')
  const whole = elapsed(posted, nowNs())
  await sleep(5)
  readAgentLog()
  return {dispatch: elapsed(posted, start), whole}
}

const dispatches: Record<Kind, number[]> = {disk: [], memory: []}
const outputs: Record<Kind, number[]> = {disk: [], memory: []}
for (const kind of kinds) for (let i = 0; i < 20; i++) await run(kind, `@ms=20 ${'x'.repeat(200)}`)
for (let round = 0; round < rounds; round++) {
  calibrate()
  for (let i = 0; i < tasksPerRound; i++)
    for (const kind of kinds) dispatches[kind].push((await run(kind, `@ms=20 ${'x'.repeat(200)}`)).dispatch)
  for (const kind of round % 2 === 0 ? kinds : kinds.toReversed())
    outputs[kind].push((await run(kind, `@n=${(megabytes * 1_000_000) / 200} @len=200`)).whole)
}

report('dispatch p50 with the journal', median(dispatches.disk), median(dispatches.memory), 'ms', '≤ 1.1')
report(`${megabytes} MB with the journal`, median(outputs.disk), median(outputs.memory), 'ms', '≤ 1.1')
