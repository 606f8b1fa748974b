// The time from the POST of an answer to a permission until the agent has it. The floor is a bare POST that commits one
// row, in the same run.
import {existsSync, mkdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {acpAgent} from '../test/support/acp-agent.ts'
import {startCommitFloor} from './commit-floor.ts'
import {
  buildAgent,
  elapsed,
  environment,
  httpCaller,
  median,
  quantile,
  report,
  scratchFolder,
  sleep,
  startFleet,
  until,
} from './support.ts'

const tasks = Number(process.env['TASKS'] ?? 60)

using scratch = scratchFolder()
const log = join(scratch.path, 'agent-told.times')
const agents = {scripted: {command: [acpAgent], permissions: 'ask', env_allow: ['ACP_*']}}
const more = {A2A_AGENTS: JSON.stringify(agents), ACP_TIMES: log}
const env = environment(scratch.path, buildAgent(scratch.path), more)
mkdirSync(scratch.path, {recursive: true})
await using fleet = await startFleet(scratch.path, env)
await using bare = await startCommitFloor(scratch.path)
const call = httpCaller(fleet.url)

type Shown = {status: string; waiting_for?: {id: string}[]}

/** When the agent got each line, in ns. The agent tells, so that looking for it adds nothing. */
const received = () => (existsSync(log) ? readFileSync(log, 'latin1').trimEnd().split('\n').map(BigInt) : [])

async function oneAnswer(): Promise<number> {
  const {task} = (await fleet.call('POST', `/v1/opencode/codebases/${fleet.ids[0]}/tasks`, {
    ...{title: 't', prompt: 'permission p edit a file', metadata: {agent_program: 'scripted'}},
  })) as {task: {id: string}}
  const show = async () => (await fleet.call('GET', `/v1/opencode/tasks/${task.id}`)) as Shown
  const question = await until(async () => (await show()).waiting_for?.[0]?.id, 'the question')
  await sleep(100)
  const before = received().length
  const from = process.hrtime.bigint()
  const posted = call('POST', `/v1/opencode/tasks/${task.id}/inputs`, {question, option: 'allow'})
  // The loop must not keep the answer from being sent.
  while (received().length === before) await sleep(1)
  const ms = elapsed(from, received()[before] ?? 0n)
  await posted
  await until(async () => (await show()).status === 'completed', 'the task to end')
  return ms
}

for (let i = 0; i < 5; i += 1) await oneAnswer()
const times: number[] = []
const commits: number[] = []
for (let i = 0; i < tasks; i += 1) {
  times.push(await oneAnswer())
  commits.push(await bare.postAndCommit())
}

report('answer → agent p50', median(times), median(commits), 'ms', '≤ 3')
report('answer → agent p90', quantile(times, 0.9), quantile(commits, 0.9), 'ms', '≤ 3')
