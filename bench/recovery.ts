// The cost of recovering a thousand runs of a killed worker: saved reports, runs that have ended, and agents that died.
// CPU time from the start of the worker to the last report, minus that of a worker without runs.
import {mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {Journal} from '../src/lib/journal/journal.ts'
import {bootId} from '../src/lib/executor/processes/processes.ts'
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
const begunOutput = line('step_start', {}) + line('text', {messageID: 'm', text: 'so far\n'.repeat(50)}).repeat(8)
const endedOutput = begunOutput + line('step_finish', {reason: 'stop', tokens, cost: 0.1})

/** Starts a control plane whose tasks are all claimed by the worker, and writes the journal of that worker. */
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
    // A codebase per task, because only one task at a time may run in a working tree.
    const path = join(folder, `tree-${i}`)
    const {codebase} = (await call('POST', '/v1/opencode/codebases', {name: 'c', path, worker_id: 'w'})) as {
      codebase: {id: string}
    }
    const made = await call('POST', `/v1/opencode/codebases/${codebase.id}/tasks`, {title: `t${i}`, prompt: 'p'})
    const {id} = (made as {task: {id: string}}).task
    await call('POST', '/v1/worker/tasks/claim?worker_id=w', {task_id: id})
    writeRun(journal, home, {id, path, codebase: codebase.id}, i)
  }

  return {plane, url, call}
}

/** Writes a run to the journal. In turn: with a saved report, ended, or with a dead agent. */
function writeRun(journal: Journal, home: string, task: {id: string; path: string; codebase: string}, i: number): void {
  const {id, path, codebase} = task
  const runDir = join(home, 'runs', id, '1')
  mkdirSync(join(runDir, 'tmp'), {recursive: true})
  writeFileSync(join(runDir, 'stdout.ndjson'), i % 3 === 2 ? begunOutput : endedOutput)
  const key = {task_id: id, attempt: 1}
  const place = {path, run_dir: runDir, marker: `w:${id}:1`, boot_id: bootId() ?? '', codebase_id: codebase}
  journal.begin({...key, ...place, title: `t${i}`, agent: 'build', model: null, started_at: Date.now()})
  journal.spawned(key, 2 ** 22 - 1 - i, '1')
  if (i % 3 === 0) journal.saveReport(key, {status: 'completed', worker_id: 'w', result: 'done', ...key})
}

/** The CPU time of the worker from its start until no task is running, and the time that passes. */
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
const recovering: {cpu: number; ms: number}[] = []
for (let round = 0; round < rounds; round++) {
  idle.push((await measure(0)).cpu)
  recovering.push(await measure(runs))
}

const cpu = median(recovering.map((one) => one.cpu)) - median(idle)
process.stdout.write(
  `${runs} runs recovered: ${cpu.toFixed(2)} s of CPU above the ${median(idle).toFixed(2)} s of an idle start (goal ≤ 1 s), all reported after ${(median(recovering.map((one) => one.ms)) / 1000).toFixed(1)} s\n`,
)
