// The time from the POST of a task to the request that the model gets, with the real OpenCode: warm, the first task after
// a warm-up, and cold over the protocol. The floor is a cold `opencode run` that a bare script starts, in the same run.
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {existsSync, mkdirSync, readdirSync, readFileSync} from 'node:fs'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'
// @ts-expect-error -- plain JavaScript, shared with the demo
import {openCodeEnvironment} from '../demo/model/opencode-environment.mjs'
// @ts-expect-error -- plain JavaScript, shared with the demo
import {createFakeModel} from '../demo/model/server.mjs'
import {
  type Environment,
  environment,
  median,
  quantile,
  report,
  root,
  scratchFolder,
  startFleet,
  until,
} from './support.ts'

const tasks = Number(process.env['TASKS'] ?? 30)
const openCode = join(root, 'node_modules/opencode-linux-x64/bin/opencode')
const isDone = (status: string) => ['completed', 'failed', 'cancelled'].includes(status)

using scratch = scratchFolder()
const model = createFakeModel()
model.server.listen(0, '127.0.0.1')
await once(model.server, 'listening')
const {port} = model.server.address() as AddressInfo
const arrivals = new Map<string, number>()
/** The model has a request with this word in it. */
const seen = setInterval(() => {
  for (const {lastUser} of model.requests.splice(0) as {lastUser: string}[])
    for (const word of lastUser.match(/word-\w+/g) ?? []) if (!arrivals.has(word)) arrivals.set(word, performance.now())
}, 1)

const home = join(scratch.path, 'home')
const modelEnv: Environment = {
  ...(openCodeEnvironment(port) as Environment),
  OPENCODE_MODELS_PATH: join(root, 'test/fixtures/no-models.json'),
  OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
}
const agentEnv = {PATH: process.env['PATH'] ?? '', HOME: home, ...modelEnv}

let words = 0
const newWord = () => `word-${(words += 1)}x`

async function arrival(word: string, from: number): Promise<number> {
  const at = await until(() => arrivals.get(word), `the model to be asked for ${word}`, 120_000)
  return at - from
}

/** A cold run, as a script without a worker would start it. */
async function coldRun(cwd: string): Promise<number> {
  const word = newWord()
  const from = performance.now()
  const line = `printf %s '${word}' | '${openCode}' run --format json --model fake/x --title ${word} >/dev/null`
  const child = spawn('/bin/sh', ['-c', line], {cwd, env: {...agentEnv, PWD: cwd}, stdio: 'ignore'})
  const exited = once(child, 'exit')
  const ms = await arrival(word, from)
  await exited
  return ms
}

type Fleet = Awaited<ReturnType<typeof startFleet>>

async function oneTask(fleet: Fleet, codebase = 0): Promise<number> {
  const word = newWord()
  const from = performance.now()
  const created = (await fleet.call('POST', `/v1/opencode/codebases/${fleet.ids[codebase]}/tasks`, {
    ...{title: word, prompt: word},
  })) as {task: {id: string}}
  const ms = await arrival(word, from)
  const task = await until(async () => {
    const now = (await fleet.call('GET', `/v1/opencode/tasks/${created.task.id}`)) as {status: string; error: string}
    return isDone(now.status) ? now : undefined
  }, 'the task to end')
  if (task.status !== 'completed') throw new Error(`the task ${task.status}: ${task.error}`)
  return ms
}

const settings = (name: string, more: Environment) => {
  const folder = join(scratch.path, name)
  mkdirSync(folder)
  return {folder, env: {...environment(folder, openCode, {...modelEnv, A2A_EXECUTOR: 'acp', ...more}), HOME: home}}
}

const untilWarm = (folder: string) =>
  until(() => {
    const agents = join(folder, 'state/workers/bench/agents')
    return readdirSync(agents).some((name) => read(join(agents, name, 'messages.ndjson')).includes('warm-up-prompt-1'))
  }, 'an agent that is warmed up')

/** How many sessions OpenCode has stored. */
function sessionsOf(folder: string): number {
  const file = join(folder, '.local/share/opencode/opencode.db')
  if (!existsSync(file)) return 0
  using storage = new DatabaseSync(file, {readOnly: true})
  return Number(storage.prepare('SELECT count(*) AS count FROM session').get()?.['count'])
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

const floors: number[] = []
const warm: number[] = []
const first: number[] = []
const pairs: number[] = []
const coldProtocol: number[] = []
mkdirSync(home, {recursive: true})
for (let round = 0; round < 3; round += 1) {
  const {folder, env} = settings(`warm-${round}`, {A2A_WARM_AGENTS: '2'})
  const sessions = sessionsOf(home)
  await using fleet = await startFleet(folder, env, {codebases: 2, slots: 2})
  await untilWarm(folder)
  // Its removal needs a process of its own, which slows down a task that comes meanwhile.
  await until(() => sessionsOf(home) === sessions, 'the session of the warm-up to be removed')
  first.push(await oneTask(fleet))
  for (let i = 0; i < tasks / 3; i += 1) {
    if (i % 3 === 0) floors.push(await coldRun(join(folder, 'codebase-0')))
    warm.push(await oneTask(fleet))
  }
  await oneTask(fleet, 1)
  for (let i = 0; i < tasks / 6; i += 1) pairs.push(...(await Promise.all([oneTask(fleet, 0), oneTask(fleet, 1)])))
}

{
  const {folder, env} = settings('cold', {A2A_WARM_AGENTS: '0'})
  await using fleet = await startFleet(folder, env)
  for (let i = 0; i < 6; i += 1) {
    floors.push(await coldRun(join(folder, 'codebase-0')))
    coldProtocol.push(await oneTask(fleet))
  }
}

clearInterval(seen)
const floor = median(floors)
report('warm p50', median(warm), floor, 'ms', '≤ 0.1')
report('warm p90', quantile(warm, 0.9), floor, 'ms', '≤ 0.2')
report('warm, two at once, p50', median(pairs), floor, 'ms', '≤ 0.1')
report('warm, two at once, p90', quantile(pairs, 0.9), floor, 'ms', '≤ 0.2')
report('first task after a start, warmed up', median(first), floor, 'ms', '≤ 0.15')
report('cold over the protocol p50', median(coldProtocol), floor, 'ms', '≤ 1.1')
model.server.closeAllConnections()
model.server.close()
