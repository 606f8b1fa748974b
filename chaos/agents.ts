// Random crashes while agents ask and people answer: tasks of an agent of the Agent Client Protocol ask for permissions,
// and get words. Workers and the control plane are killed with -9 meanwhile. At the end every question must have been
// answered once, every word said once, every text must be there once and in order, and no process may be left.
//   npm run chaos:agents -- --minutes 15 --seed 1
import {randomUUID} from 'node:crypto'
import {cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {parseArgs} from 'node:util'
import {isFinal, type Task} from '../src/lib/protocol/schemas.ts'
import type {OpenQuestion} from '../src/lib/protocol/task-input.ts'
import {acpAgent} from '../test/support/acp-agent.ts'
import {type Running, stop} from '../test/support/cli.ts'
import {startFleet} from '../test/support/fleet.ts'
import {seeded} from './random.ts'

const {values} = parseArgs({
  options: {
    minutes: {type: 'string', default: '1'},
    seed: {type: 'string', default: '1'},
    /** A folder for the files of a run with findings. */
    keep: {type: 'string'},
  },
})
const seed = Number(values.seed)
const endsAt = Date.now() + Number(values.minutes) * 60_000
const random = seeded(seed)
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const say = (text: string) => process.stdout.write(`${text}\n`)

const agents = {scripted: {command: [acpAgent], permissions: 'ask', env_allow: ['ACP_*']}}
const env: Record<string, string> = {A2A_AGENTS: JSON.stringify(agents), A2A_MAX_CONCURRENT_TASKS: '3'}
await using fleet = await startFleet({env, isPlaneProcess: true})
const logFile = join(fleet.path, 'agents.log')
fleet.env['ACP_LOG'] = logFile
const paths = ['one', 'two', 'three'].map((name) => join(fleet.path, name))
for (const path of paths) mkdirSync(path)
const workerArgs = ['start', '--name', 'w', ...paths.flatMap((path) => ['--codebase', path])]

type Word = {id: string; text: string; result: string | undefined}
type Made = {n: number; id: string; answers: Map<string, string>; words: Word[]; over: Task | undefined}
const made: Made[] = []
const faults = new Map<string, number>()
const findings: string[] = []

/** Sends a request until it is answered. Undefined: it was refused for good. */
async function insist(method: string, path: string, body?: unknown): Promise<any> {
  for (;;) {
    try {
      const answer = await fleet.http.call(method, path, body)
      if (answer.status < 400) return answer.body
      if (answer.status < 500 && answer.status !== 429) return undefined
    } catch {
      // The control plane is away.
    }
    await sleep(100)
  }
}

async function registered(): Promise<{id: string; path: string}[]> {
  for (;;) {
    const codebases = (await insist('GET', '/v1/opencode/codebases')) as {id: string; path: string}[]
    if (paths.every((path) => codebases.some((codebase) => codebase.path === path))) return codebases
    await sleep(100)
  }
}

async function create(n: number): Promise<Made> {
  const codebases = await registered()
  const path = random.pick(paths)
  const id = codebases.find((codebase) => codebase.path === path)?.id
  const pause = () => `sleep ${random.int(0, 1500)}`
  const prompt = [
    ...[`text BEGIN-${n}`, pause(), `permission p${n} edit a file`, `chunks ${random.int(1, 60)} c`, pause()],
    ...[`tool read MIDDLE-${n}`, `permission q${n} run it`, pause(), `text END-${n}`],
  ].join('\n')
  const body = {title: `task ${n}`, prompt, metadata: {agent_program: 'scripted'}}
  const {task} = await insist('POST', `/v1/opencode/codebases/${id}/tasks`, body)
  return {n, id: task.id, answers: new Map(), words: [], over: undefined}
}

/** Answers what the task asks, and sometimes says a word, until it has ended. */
async function accompany(task: Made): Promise<void> {
  const own = random.fork()
  while (!task.over) {
    const now = (await insist('GET', `/v1/opencode/tasks/${task.id}`)) as Task & {waiting_for?: OpenQuestion[]}
    if (isFinal(now.status)) {
      task.over = now
      return
    }
    for (const question of now.waiting_for ?? []) await answer(task, question, own.pick(['allow', 'deny']))
    if (now.status === 'running' && task.words.length < 2 && own.chance(0.08)) await speak(task, own.chance(0.3))
    await sleep(own.int(50, 400))
  }
}

async function answer(task: Made, question: OpenQuestion, option: string): Promise<void> {
  if (task.answers.has(question.id)) return
  const stored = await insist('POST', `/v1/opencode/tasks/${task.id}/inputs`, {
    id: randomUUID(),
    question: question.id,
    option,
  })
  if (stored) task.answers.set(question.id, option)
}

async function speak(task: Made, steers: boolean): Promise<void> {
  const id = randomUUID()
  const text = `text WORD-${task.n}-${task.words.length}`
  // A steering word would cut the script off, so only the last one may.
  const mode = steers && task.answers.size === 2 ? 'steer' : 'queue'
  const stored = await insist('POST', `/v1/opencode/tasks/${task.id}/inputs`, {id, text, mode})
  if (stored?.input) task.words.push({id, text, result: undefined})
}

let worker: Running = fleet.start(workerArgs)

async function restartWorker(): Promise<void> {
  await stop(worker, 'SIGKILL')
  await sleep(random.int(0, 1500))
  worker = fleet.start(workerArgs)
}

async function restartPlane(): Promise<void> {
  await fleet.killPlane()
  await sleep(random.int(0, 1500))
  await fleet.restartPlane()
}

const kinds: [name: string, run: () => Promise<void>][] = [
  ['kill -9 of the worker', restartWorker],
  ['kill -9 of the control plane', restartPlane],
  [
    'kill -9 of both',
    async () => {
      await Promise.all([stop(worker, 'SIGKILL'), fleet.killPlane()])
      await fleet.restartPlane()
      worker = fleet.start(workerArgs)
    },
  ],
  [
    'the worker is stopped for a while',
    async () => {
      worker.process.kill('SIGSTOP')
      await sleep(random.int(100, 3000))
      worker.process.kill('SIGCONT')
    },
  ],
  [
    'SIGQUIT of the worker (detach)',
    async () => {
      await stop(worker, 'SIGQUIT')
      worker = fleet.start(workerArgs)
    },
  ],
]

async function injectFaults(): Promise<void> {
  while (Date.now() < endsAt) {
    await sleep(random.int(300, 4000))
    const [name, run] = random.pick(kinds)
    faults.set(name, (faults.get(name) ?? 0) + 1)
    await run()
  }
}

const running = new Set<Promise<void>>()

async function createTasks(): Promise<void> {
  while (Date.now() < endsAt) {
    if (running.size >= 4) await Promise.race(running)
    const task = await create(made.length)
    made.push(task)
    const done: Promise<void> = accompany(task).finally(() => running.delete(done))
    running.add(done)
  }
}

await Promise.all([createTasks(), injectFaults()])
const limit = setTimeout(() => {
  const left = made.filter(({over}) => !over).map(({id}) => id)
  say(`tasks without an end: ${left.join(', ')}\n${worker.stderr().slice(-4000)}`)
  process.exit(1)
}, 120_000)
await Promise.all(running)
clearTimeout(limit)

// ------------------------------------------------------------------------------------------------------------ audit

/** What the agents were told. A line that a killed worker had begun was spoiled, and does not count. */
const told = readFileSync(logFile, 'utf8')
  .split('\n')
  .filter((line) => line.endsWith('}'))
  .join('\n')
const count = (text: string, part: string) => text.split(part).length - 1

for (const task of made) {
  const {n, id, over} = task
  const find = (text: string) => findings.push(`task ${n} (${id}): ${text}`)
  const inputs = (await insist('GET', `/v1/opencode/tasks/${id}/inputs`)).inputs as {id: string; state: string}[]
  for (const word of task.words) word.result = inputs.find((input) => input.id === word.id)?.state
  // A question that lapses instead of getting its answer takes ten minutes.
  const seconds = (Date.parse(over?.completed_at ?? '') - Date.parse(over?.created_at ?? '')) / 1000
  if (seconds > 300) find(`it took ${Math.round(seconds)} s`)
  if (over?.status !== 'completed') find(`it is ${over?.status}: ${over?.error}`)
  const chunks = (await insist('GET', `/v1/opencode/tasks/${id}/output?since=0`)).outputs as {output: string}[]
  const texts = textsOf(chunks.map(({output}) => output).join(''))
  const isCut = task.words.length > 0 && !texts.includes(`END-${n}`)
  for (const part of [`BEGIN-${n}`, `MIDDLE-${n}`, ...(isCut ? [] : [`END-${n}`])])
    if (count(texts, part) !== 1) find(`${part} is in its output ${count(texts, part)} times`)
  for (const [question, option] of task.answers) {
    const name = question.includes('.') ? `q${n}` : `p${n}`
    const expected = `${name}: ${option === 'allow' ? 'once' : 'reject'}`
    if (count(texts, `${name}: `) !== 1 || count(texts, expected) !== 1)
      find(
        `the question ${question} was answered ${option}, and the agent has seen ${texts.match(new RegExp(`${name}: \\w+`, 'g'))}`,
      )
  }
  if (count(told, `BEGIN-${n}\\n`) !== 1) find(`its prompt was sent ${count(told, `BEGIN-${n}\\n`)} times`)
  for (const word of task.words) {
    const times = count(told, `${word.text}"`)
    const isRight = word.result === 'delivered' ? times === 1 : word.result === 'refused' ? times === 0 : times <= 1
    if (!isRight || word.result === 'stored')
      find(`the word ${word.text} is ${word.result}, and was said ${times} times`)
  }
}

/** The texts and the tool calls of an output, in order. */
function textsOf(output: string): string {
  return output
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as {part?: {text?: string; state?: {title?: string}}})
    .map(({part}) => part?.text ?? part?.state?.title ?? '')
    .join('\n')
}

await stop(worker, 'SIGTERM')
const left = readdirSync('/proc').filter((name) => {
  if (!/^\d+$/.test(name) || !existsSync(`/proc/${name}/environ`)) return false
  try {
    return readFileSync(`/proc/${name}/environ`, 'latin1').includes(`TMPDIR=${fleet.path}`)
  } catch {
    return false
  }
})
if (left.length > 0) findings.push(`processes left: ${left.join(', ')}`)

const words = made.flatMap((task) => task.words)
const results = Object.entries(Object.groupBy(words, ({result}) => result ?? 'none')).map(
  ([name, list]) => `${list?.length} ${name}`,
)
const total = [...faults.values()].reduce((sum, number) => sum + number, 0)
say(
  `seed ${seed}, ${values.minutes} min: ${made.length} tasks, ${made.reduce((sum, {answers}) => sum + answers.size, 0)} answers, ${words.length} words (${results.join(', ')}), ${total} faults\n`,
)
for (const [name, number] of [...faults].toSorted()) say(`${String(number).padStart(6)}  ${name}`)
say(`\n${String(findings.length).padStart(6)}  findings`)
for (const finding of findings.slice(0, 40)) say(`  ${finding}`)
if (values.keep !== undefined && findings.length > 0) {
  const isCopied = (path: string) => lstatSync(path).isDirectory() || lstatSync(path).isFile() // no sockets and pipes
  cpSync(fleet.path, values.keep, {recursive: true, filter: isCopied})
}
process.exitCode = findings.length > 0 ? 1 : 0
