// The time from the POST of a task to the agent's first instruction, and from the agent's end until `completed` can be
// read. The floors are bare Node processes without a store (floor/), with control groups if the worker has them, and a
// bare POST that commits one row.
import {spawnSync} from 'node:child_process'
import {join} from 'node:path'
import {startCommitFloor} from './commit-floor.ts'
import {
  agentLog,
  buildAgent,
  calibrate,
  elapsed,
  environment,
  floor,
  httpCaller,
  median,
  nowNs,
  quantile,
  report,
  scratchFolder,
  sleep,
  startFleet,
  until,
} from './support.ts'

const rounds = Number(process.env['ROUNDS'] ?? 3)
const tasksPerRound = Number(process.env['TASKS'] ?? 100)
/** About as long as the agent's run and its report take here, so that both enter control groups equally often. */
const pauseMs = 40

using scratch = scratchFolder()
const agent = buildAgent(scratch.path)
const env = environment(scratch.path, agent)
await using fleet = await startFleet(scratch.path, env)
await using bare = await startCommitFloor(scratch.path)
const call = httpCaller(fleet.url)
const readAgentLog = agentLog(join(scratch.path, 'agent.log'))

type Dispatched = {dispatch: number; finish: number}

async function oneTask(): Promise<Dispatched> {
  const posted = nowNs()
  const {task} = (await call('POST', `/v1/opencode/codebases/${fleet.ids[0]}/tasks`, {
    title: 't',
    prompt: `@ms=20 ${'x'.repeat(200)}`, // long enough that the start is handled before the end
  })) as {task: {id: string}}
  // The floor checks every 2 ms, too. Nothing else sends requests until the agent has begun.
  const seen = readAgentLog()
  const limit = performance.now() + 20_000
  while (!seen.some(({ev}) => ev === 'start')) {
    await sleep(2)
    seen.push(...readAgentLog())
    if (performance.now() > limit) throw new Error(`the agent did not start: ${fleet.worker.stderr()}`)
  }

  let status = ''
  while (status !== 'completed') {
    if (performance.now() > limit) throw new Error(`the task stays ${status}: ${fleet.worker.stderr()}`)
    const answer = (await call('GET', `/v1/opencode/tasks/${task.id}`)) as {status: string}
    status = answer.status
    if (['failed', 'cancelled'].includes(status)) throw new Error(`the task ${status}`)
  }

  const readable = nowNs()
  seen.push(...(await until(() => (seen.some(({ev}) => ev === 'end') ? [] : readAgentLog()), 'the end in the log')))
  const [start, end] = ['start', 'end'].map((ev) => BigInt(seen.find((entry) => entry.ev === ev)?.t ?? 0))
  return {dispatch: elapsed(posted, start ?? 0n), finish: elapsed(end ?? 0n, readable)}
}

function floorRound(): {p50: number; p90: number} {
  const {stdout, error} = spawnSync(process.execPath, [floor, agent, String(tasksPerRound), String(pauseMs)], {
    encoding: 'utf8',
    timeout: 120_000,
  })
  if (error) throw new Error('the floor did not finish', {cause: error})
  const [, p50, p90] = /p50 ([\d.]+) p90 ([\d.]+)/.exec(stdout) ?? []
  return {p50: Number(p50), p90: Number(p90)}
}

for (let i = 0; i < 20; i++) await oneTask()
const floors: {p50: number; p90: number}[] = []
const results: {p50: number; p90: number; finish: number; commit: number}[] = []
for (let round = 0; round < rounds; round++) {
  floors.push(floorRound())
  calibrate()
  const tasks: Dispatched[] = []
  const commits: number[] = []
  for (let i = 0; i < tasksPerRound; i++) {
    tasks.push(await oneTask())
    commits.push(await bare.postAndCommit())
    await sleep(5)
  }

  const dispatches = tasks.map(({dispatch}) => dispatch)
  const finish = median(tasks.map(({finish}) => finish))
  results.push({p50: median(dispatches), p90: quantile(dispatches, 0.9), finish, commit: median(commits)})
}

const of = <T>(list: T[], pick: (item: T) => number) => median(list.map((item) => pick(item)))
report(
  'dispatch p50',
  of(results, (r) => r.p50),
  of(floors, (r) => r.p50),
  'ms',
  '≤ 1.3',
)
report(
  'dispatch p90',
  of(results, (r) => r.p90),
  of(floors, (r) => r.p90),
  'ms',
  '≤ 1.6',
)
report(
  'agent exits → completed readable',
  of(results, (r) => r.finish),
  of(results, (r) => r.commit),
  'ms',
  '≤ 2',
)
