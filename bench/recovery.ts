// What it costs a worker to take up a thousand runs that were left: reports that were frozen, runs that have ended, and
// agents that died. CPU from its start to the last report, less that of the same worker with nothing to take up.
import {mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {Journal} from '../src/lib/journal/journal.ts'
import {bootId} from '../src/lib/executor/processes.ts'
import {
  caller,
  cpuMs,
  environment,
  median,
  buildAgent,
  scratchFolder,
  sleep,
  startProgram,
  until,
  type Environment,
} from './support.ts'

const runs = Number(process.env['RUNS'] ?? 1000)
const rounds = Number(process.env['ROUNDS'] ?? 3)
const line = (type: string, part: object) => `${JSON.stringify({type, sessionID: 'ses_1', part: {type, ...part}})}\n`
const tokens = {input: 10, output: 2, reasoning: 0, cache: {read: 0, write: 0}}
const begun = line('step_start', {}) + line('text', {messageID: 'm', text: 'so far\n'.repeat(50)}).repeat(8)
const ended = begun + line('step_finish', {reason: 'stop', tokens, cost: 0.1})

/** A control plane whose tasks are all held by the worker, and the journal that says so. */
async function prepare(folder: string, count: number, env: Environment) {
  mkdirSync(join(folder, 'codebase'), {recursive: true})
  const plane = startProgram(['serve', '--port', '0'], env, folder)
  const url = await until(() => plane.stdout().trim(), 'the control plane')
  const call = caller(url)
  await call('POST', '/v1/opencode/workers/register', {
    worker_id: 'w',
    name: 'bench',
    features: ['lease'],
    max_concurrent_tasks: 5000,
  })
  const home = join(folder, 'state/workers/bench')
  mkdirSync(home, {recursive: true})
  writeFileSync(join(home, 'identity.json'), '{"worker_id":"w"}')
  using journal = await Journal.open(join(home, 'journal.db'))
  for (let i = 0; i < count; i++) {
    // Of a working tree the control plane gives one task at a time to a worker.
    const path = join(folder, `tree-${i}`)
    const {codebase} = (await call('POST', '/v1/opencode/codebases', {name: 'c', path, worker_id: 'w'})) as {
      codebase: {id: string}
    }
    const made = await call('POST', `/v1/opencode/codebases/${codebase.id}/tasks`, {title: `t${i}`, prompt: 'p'})
    const {id} = (made as {task: {id: string}}).task
    await call('POST', '/v1/worker/tasks/claim?worker_id=w', {task_id: id})
    leave(journal, home, {id, path, codebase: codebase.id}, i)
  }

  return {plane, url, call}
}

/** One of each three: its report is frozen, it has ended, its agent died. */
function leave(journal: Journal, home: string, about: {id: string; path: string; codebase: string}, i: number): void {
  const {id, path, codebase} = about
  const runDir = join(home, 'runs', id, '1')
  mkdirSync(join(runDir, 'tmp'), {recursive: true})
  writeFileSync(join(runDir, 'stdout.ndjson'), i % 3 === 2 ? begun : ended)
  const key = {task_id: id, attempt: 1}
  const at = {path, run_dir: runDir, marker: `w:${id}:1`, boot_id: bootId() ?? '', codebase_id: codebase}
  journal.begin({...key, ...at, title: `t${i}`, agent: 'build', model: null, started_at: Date.now()})
  journal.spawned(key, 2 ** 22 - 1 - i, '1')
  if (i % 3 === 0) journal.saveReport(key, {status: 'completed', worker_id: 'w', result: 'done', ...key})
}

/** CPU of the worker from its start until none of these tasks runs any more, and how long that took. */
async function measure(count: number): Promise<{cpu: number; ms: number}> {
  using scratch = scratchFolder()
  const env = {...environment(scratch.path, buildAgent(scratch.path)), A2A_ON_INTERRUPT: 'fail'}
  const {plane, url, call} = await prepare(scratch.path, count, env)
  await using _plane = plane
  const start = performance.now()
  await using worker = startProgram(
    ['start', '--server', url, '--name', 'bench', '--codebase', join(scratch.path, 'codebase')],
    env,
    scratch.path,
  )
  await until(async () => ((await call('GET', '/v1/worker/connected')) as {count: number}).count > 0, 'the worker')
  await until(
    async () => ((await call('GET', '/v1/opencode/tasks?status=running&limit=1')) as unknown[]).length === 0,
    'all reports',
  )
  const ms = performance.now() - start
  await sleep(500)
  return {cpu: cpuMs(worker.child.pid ?? 0) / 1000, ms}
}

const idle: number[] = []
const busy: {cpu: number; ms: number}[] = []
for (let round = 0; round < rounds; round++) {
  idle.push((await measure(0)).cpu)
  busy.push(await measure(runs))
}

const cpu = median(busy.map((one) => one.cpu)) - median(idle)
process.stdout.write(
  `${runs} runs taken up: ${cpu.toFixed(2)} s of CPU above the ${median(idle).toFixed(2)} s of an idle start (goal ≤ 1 s), all reported after ${(median(busy.map((one) => one.ms)) / 1000).toFixed(1)} s\n`,
)
