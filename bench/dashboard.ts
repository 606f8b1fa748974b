// The cost of the dashboard on a terminal of 120 × 40, compared with the same worker without it: CPU time while 20
// tasks print 1,000 lines a second in total, and the time from POST to the agent's first instruction.
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {
  agentLog,
  buildAgent,
  calibrate,
  caller,
  cpuMs,
  elapsed,
  environment,
  httpCaller,
  median,
  nowNs,
  program,
  report,
  scratchFolder,
  sleep,
  startProgram,
  until,
  type Environment,
} from './support.ts'

const rounds = Number(process.env['ROUNDS'] ?? 3)
const seconds = Number(process.env['SECONDS'] ?? 10)
const tasksPerRound = Number(process.env['TASKS'] ?? 60)
const tasks = 20
const linesPerSecond = 1000
const gapUs = (tasks / linesPerSecond) * 1_000_000

using scratch = scratchFolder()
const agent = buildAgent(scratch.path)
const env: Environment = {...environment(scratch.path, agent), TERM: 'xterm-256color'}
const paths = Array.from({length: tasks}, (_, i) => join(scratch.path, `codebase-${i}`))
for (const path of paths) mkdirSync(path, {recursive: true})
await using plane = startProgram(['serve', '--port', '0'], env, scratch.path)
const url = await until(() => plane.stdout().trim(), 'the control plane')
const call = httpCaller(url)

/** Starts a worker on its own terminal. */
async function startWorker(args: string[]) {
  const list = paths.flatMap((path) => ['--codebase', path])
  const start = ['start', '--server', url, '--name', 'bench', '--max-concurrent-tasks', String(tasks), ...list, ...args]
  const terminal = [join(import.meta.dirname, 'terminal.py'), '120', '40', process.execPath, program, ...start]
  const child = spawn('python3', terminal, {cwd: scratch.path, env, stdio: ['ignore', 'pipe', 'inherit']})
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += String(chunk)))
  const exited = once(child, 'exit')
  const pid = Number(await until(() => output.includes('\n') && output.trim(), 'the worker to start'))
  await until(
    async () => ((await caller(url)('GET', '/v1/worker/connected')) as {count: number}).count > 0,
    'the worker to connect',
  )
  return {
    pid,
    async [Symbol.asyncDispose]() {
      process.kill(pid, 'SIGTERM')
      await exited
    },
  }
}

const create = async (codebase: string, prompt: string) =>
  (
    (await call('POST', `/v1/opencode/codebases/${codebase}/tasks`, {title: 'A task of the bench', prompt})) as {
      task: {id: string}
    }
  ).task.id

const statusOf = async (id: string) => ((await call('GET', `/v1/opencode/tasks/${id}`)) as {status: string}).status

/** The used share of a core while all tasks print. */
async function measureCpu(pid: number, ids: string[]): Promise<number> {
  const lines = Math.ceil((seconds + 6) * (1_000_000 / gapUs))
  const made = await Promise.all(ids.map((id, i) => create(id, `@n=${lines} @len=${120 + i} @gap=${gapUs}`)))
  await until(async () => (await Promise.all(made.map(statusOf))).every((s) => s === 'running'), 'all tasks to run')
  await sleep(1500)
  const [cpu, at] = [cpuMs(pid), performance.now()]
  await sleep(seconds * 1000)
  const share = (cpuMs(pid) - cpu) / (performance.now() - at)
  await until(async () => (await Promise.all(made.map(statusOf))).every((s) => s === 'completed'), 'all tasks to end')
  return share
}

/** The times from POST to the agent's first instruction, in ms, one task after the other. */
async function dispatchTimes(codebase: string): Promise<number[]> {
  const readAgentLog = agentLog(join(scratch.path, 'agent.log'))
  const took: number[] = []
  calibrate()
  for (let i = 0; i < tasksPerRound + 5; i++) {
    const posted = nowNs()
    const id = await create(codebase, 'x'.repeat(200))
    const start = await until(() => readAgentLog().find(({ev}) => ev === 'start'), 'the agent to start')
    await until(async () => (await statusOf(id)) === 'completed', 'the task to end')
    readAgentLog()
    if (i >= 5) took.push(elapsed(posted, BigInt(start.t)))
  }

  return took
}

type Round = {share: number; dispatch: number}

async function round(args: string[]): Promise<Round> {
  await using worker = await startWorker(args)
  const all = (await call('GET', '/v1/opencode/codebases')) as {id: string; path: string}[]
  const ids = all.filter(({path}) => paths.includes(path)).map(({id}) => id)
  const dispatch = median(await dispatchTimes(ids[0] ?? ''))
  return {share: await measureCpu(worker.pid, ids), dispatch}
}

const withoutDashboard: Round[] = []
const withDashboard: Round[] = []
for (let i = 0; i < rounds; i++) {
  withoutDashboard.push(await round(['--no-dashboard']))
  withDashboard.push(await round([]))
}

const share = (list: Round[]) => median(list.map((one) => one.share)) * 100
process.stdout.write(
  `CPU at ${tasks} tasks, ${linesPerSecond} lines/s: with ${share(withDashboard).toFixed(1)} %, without ${share(withoutDashboard).toFixed(1)} % of a core; the dashboard takes ${(share(withDashboard) - share(withoutDashboard)).toFixed(1)} % (goal ≤ 15)\n`,
)
const dispatch = (list: Round[]) => median(list.map((one) => one.dispatch))
report('dispatch p50 with the dashboard', dispatch(withDashboard), dispatch(withoutDashboard), 'ms', '≤ 1.2')
