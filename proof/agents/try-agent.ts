import {existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {isFinal, type Task} from '../../src/lib/protocol/schemas.ts'
import {root, stop, type Running} from '../../test/support/cli.ts'
import {repository, until} from '../../test/support/scratch.ts'
import {assertRunning, openWorkshop, says, type Workshop} from '../../test/support/workshop.ts'
import {type Endpoint, type Step, theEdit, tokens} from './scripted-endpoint.ts'
import type {Subject} from './subjects.ts'

/** What was seen of an agent. A text is what failed. */
export type Seen = {
  handshakeMs?: number
  options?: string
  usage?: string
  checks: Record<Check, string | true>
}

export const checks = [
  ...(['edit', 'usage', 'permission', 'denied', 'said', 'cancelled'] as const),
  ...(['in turn', 'permission open', 'half line', 'resumed'] as const),
] as const
export type Check = (typeof checks)[number]

/** Long enough for a busy machine. OpenCode waits a minute for a lock of its own that an ended process has left. */
const limitMs = 90_000
const killFile = 'die-in-write'

class Failed extends Error {}

function expectThat(isTrue: boolean, what: string): asserts isTrue {
  if (!isTrue) throw new Failed(what)
}

/** A codebase, a control plane, and the endpoint that plays the model of one agent. */
type Place = {
  subject: Subject
  workshop: Workshop
  endpoint: Endpoint
  url: string
  codebase: string
  keep: string | undefined
}

export type TryOptions = {
  /** The folder of the agent's program. */
  bin: string
  /** The messages of the agent are copied to this folder. */
  keep: string | undefined
  onCheck: (name: Check, result: string | true) => void
}

/** Tries one agent in all situations, each in a place of its own. */
export async function tryAgent(subject: Subject, options: TryOptions): Promise<Seen> {
  const seen: Seen = {checks: Object.fromEntries(checks.map((name) => [name, 'not tried'])) as Seen['checks']}
  const runs: Record<Check, (place: Place) => Promise<void>> = {
    edit: (place) => editOnce(place, seen),
    usage: async () => expectThat(seen.usage !== undefined, 'the task reports no usage'), // of the task before
    permission: answerPermission,
    denied: denyPermission,
    said: sayMore,
    cancelled: cancelInTurn,
    'in turn': adoptInTurn,
    'permission open': adoptWithPermission,
    'half line': adoptAfterHalfLine,
    resumed: resumeAfterDeath,
  }
  for (const name of checks) {
    seen.checks[name] = await attempt(subject, options, runs[name])
    options.onCheck(name, seen.checks[name])
  }
  return seen
}

async function attempt(subject: Subject, options: TryOptions, run: (place: Place) => Promise<void>) {
  try {
    await inPlace(subject, options, run)
    return true
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function inPlace(subject: Subject, {bin, keep}: TryOptions, run: (place: Place) => Promise<void>): Promise<void> {
  await using workshop = openWorkshop({
    PATH: `${bin}:${join(root, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`,
    A2A_ASK_TIMEOUT: '0',
  })
  const {endpoint, env} = await subject.setUp(join(workshop.path, 'home'))
  await using _endpoint = endpoint
  Object.assign(workshop.env, env)
  const served = workshop.start(['serve', '--port', '0'])
  const url = await until(() => served.stdout().trim() || assertRunning(served), 'the control plane to listen')
  await run({subject, workshop, endpoint, url, keep, codebase: repository(join(workshop.path, 'api'))})
}

async function editOnce(place: Place, seen: Seen): Promise<void> {
  const begun = await begin(place, {})
  const runDir = await until(() => runDirOf(place, begun.id), 'the folder of the run')
  const {birthtimeMs} = statSync(join(runDir, 'stdin'))
  await until(() => read(join(runDir, 'messages.ndjson')).includes('"id":"initialize"'), 'the handshake', limitMs, 2)
  seen.handshakeMs = Math.round(Date.now() - birthtimeMs)
  const task = await end(place, begun)
  seen.options = optionsOf(read(join(runDir, 'messages.ndjson')))
  const {usage} = task
  if (usage && usage.input >= tokens.input && usage.output >= tokens.output)
    seen.usage = `${usage.input}/${usage.output}${usage.cost ? ` $${usage.cost.toFixed(4)}` : ''}`
}

async function answerPermission(place: Place): Promise<void> {
  const begun = await begin(place, {asks: true})
  await asked(place, begun.id)
  await answer(place, begun.id)
  await end(place, begun)
}

/** The agent is told no: it ends its turn, and the file stays as it is. */
async function denyPermission(place: Place): Promise<void> {
  const begun = await begin(place, {asks: true})
  await asked(place, begun.id)
  await tell(place, 'answer', begun.id, 'deny')
  const task = await finalTask(place, begun.id)
  expectThat(isFinal(task.status) && task.status !== 'cancelled', `the task is ${task.status}: ${task.error}`)
  expectThat(readFileSync(join(place.codebase, theEdit.file), 'utf8') === 'hello\n', 'the file was edited all the same')
  await isOver(place, begun)
}

/** A word that is said during a turn is the next prompt. */
async function sayMore(place: Place): Promise<void> {
  const begun = await begin(place, {held: 'edit'})
  await until(() => place.endpoint.isAsked, 'a request to the model')
  await tell(place, 'say', begun.id, 'Say once more that it is done.')
  place.endpoint.release()
  const task = await finalTask(place, begun.id)
  expectThat(task.status === 'completed', `the task is ${task.status}: ${task.error}`)
  const sent = read(join(runDirOf(place, begun.id) ?? '', 'sent.ndjson'))
  expectThat(sent.includes('"put":"prompt-2"') && sent.includes('Say once more'), 'the agent did not get the word')
  await isOver(place, begun)
}

async function cancelInTurn(place: Place): Promise<void> {
  const begun = await begin(place, {held: 'edit'})
  await until(() => place.endpoint.isAsked, 'a request to the model')
  await tell(place, 'cancel', begun.id)
  const task = await finalTask(place, begun.id)
  expectThat(task.status === 'cancelled', `the task is ${task.status}: ${task.error}`)
  place.endpoint.release()
  await isOver(place, begun)
}

/** Worker and agent die in a turn. The next worker starts the agent again, which goes on with its session. */
async function resumeAfterDeath(place: Place): Promise<void> {
  place.workshop.env['A2A_ON_INTERRUPT'] = 'resume'
  const begun = await begin(place, {held: 'edit'})
  await until(() => place.endpoint.isAsked, 'a request to the model')
  const {session_id: before} = await until(async () => {
    const task = await get(place, begun.id)
    return task.session_id ? task : undefined
  }, 'the session')
  await stop(begun.worker, 'SIGKILL')
  for (const pid of processesOf(place, begun.id)) process.kill(Number(pid), 'SIGKILL')
  await until(() => processesOf(place, begun.id).length === 0, 'the agent to die', 10_000)
  place.endpoint.release()
  const worker = await startWorker(place, begun)
  const task = await finalTask(place, begun.id)
  expectThat(task.status === 'completed', `the task is ${task.status}: ${task.error}\n${worker.stderr().slice(-1500)}`)
  expectThat(task.session_id === before, `the session is ${task.session_id} and was ${before}`)
  await isOver(place, {...begun, worker})
}

/** Runs a command about a task, which must succeed. */
async function tell({workshop, url}: Place, ...words: string[]): Promise<void> {
  const {code, stderr} = await workshop.cli(['tasks', ...words, '--server', url])
  expectThat(code === 0, `tasks ${words[0]} failed: ${stderr}`)
}

const finalTask = (place: Place, id: string) =>
  until(
    async () => {
      const now = await get(place, id)
      return isFinal(now.status) ? now : undefined
    },
    'the task to end',
    limitMs,
  )

/** No process of the agent is left, and the worker stops. */
async function isOver(place: Place, {id, worker}: Pick<Begun, 'id' | 'worker'>): Promise<void> {
  await until(() => processesOf(place, id).length === 0, 'the processes of the agent to end', 10_000)
  await stop(worker)
}

async function adoptInTurn(place: Place): Promise<void> {
  const begun = await begin(place, {held: 'edit'})
  await until(() => place.endpoint.isAsked, 'a request to the model')
  const next = await killAndFollow(place, begun)
  place.endpoint.release()
  await end(place, next)
}

async function adoptWithPermission(place: Place): Promise<void> {
  const begun = await begin(place, {asks: true})
  await asked(place, begun.id)
  const next = await killAndFollow(place, begun)
  await asked(place, begun.id)
  await answer(place, begun.id)
  await end(place, next)
}

/** The worker dies in the middle of the line that is the prompt. The next one ends that line, and sends it again. */
async function adoptAfterHalfLine(place: Place): Promise<void> {
  const file = join(place.workshop.path, killFile)
  writeFileSync(file, '')
  const begun = await begin(place, {diesInWrite: true})
  await until(
    () => begun.worker.process.exitCode !== null || begun.worker.process.signalCode !== null,
    'the worker to die',
  )
  expectThat(!existsSync(file), 'the worker died for another reason')
  const sent = read(join(runDirOf(place, begun.id) ?? '', 'sent.ndjson'))
  expectThat(sent.includes('"put":"prompt-1"') && !sent.includes('"written":"prompt-1"'), 'the prompt was sent whole')
  expectThat(place.endpoint.steps.length === 0, 'the agent took half a line for a prompt')
  await end(place, await follow(place, begun))
}

type Begun = {id: string; worker: Running; isAsking: boolean; agent: string | undefined}

/** Resets the codebase, starts a worker, and creates the task. */
async function begin(place: Place, options: {asks?: boolean; held?: Step; diesInWrite?: boolean}): Promise<Begun> {
  const {subject, workshop, endpoint, codebase, url} = place
  const {asks: isAsking = false, held, diesInWrite = false} = options
  writeFileSync(join(codebase, theEdit.file), 'hello\n')
  endpoint.begin(join(codebase, theEdit.file), held)
  const worker = await startWorker(place, {isAsking, diesInWrite})
  const args = ['tasks', 'create', '-b', codebase, '--with', subject.name, '--server', url, subject.prompt]
  const {code, stdout, stderr} = await workshop.cli(args)
  expectThat(code === 0, `the task was not created: ${stderr}`)
  return {id: stdout.trim(), worker, isAsking, agent: undefined}
}

async function startWorker(
  place: Place,
  {isAsking, diesInWrite = false}: {isAsking: boolean; diesInWrite?: boolean},
): Promise<Running> {
  const {workshop, url, codebase, subject} = place
  const dying = {
    NODE_OPTIONS: `--import ${join(import.meta.dirname, 'die-in-write.mjs')}`,
    PROOF_DIE_IN_WRITE: join(workshop.path, killFile),
  }
  const env = {...workshop.env, ...(isAsking ? subject.asking : {}), ...(diesInWrite ? dying : {})}
  const worker = workshop.start(['start', '--server', url, '--name', 'w', '--codebase', codebase], {env})
  await says(worker, 'Task stream connected')
  return worker
}

/** Kills the worker with -9 and starts the next one, which must go on with the same process of the agent. */
async function killAndFollow(place: Place, begun: Begun): Promise<Begun> {
  await stop(begun.worker, 'SIGKILL')
  return await follow(place, begun)
}

async function follow(place: Place, begun: Begun): Promise<Begun> {
  const agent = read(join(runDirOf(place, begun.id) ?? '', 'pid')).trim()
  expectThat(processesOf(place, begun.id).includes(agent), 'the agent died with its worker')
  const worker = await startWorker(place, begun)
  await says(worker, 'Going on with a run whose agent is at work')
  expectThat(processesOf(place, begun.id).includes(agent), 'the agent was started again')
  return {...begun, worker, agent}
}

/** Waits until the agent asks. */
async function asked(place: Place, id: string): Promise<void> {
  await until(
    async () => {
      const task = await get(place, id)
      if (isFinal(task.status)) throw new Failed(`the task ended without a question: ${task.error ?? task.result}`)
      return task.waiting_for?.length
    },
    'a question',
    limitMs,
  )
}

async function answer({workshop, url}: Place, id: string): Promise<void> {
  const {code, stderr} = await workshop.cli(['tasks', 'answer', id, 'allow', '--server', url])
  expectThat(code === 0, `the answer was not taken: ${stderr}`)
  const again = await workshop.cli(['tasks', 'answer', id, 'allow', '--server', url])
  expectThat(again.code !== 0, 'the question could be answered twice')
}

/** Waits for the end of the task, and checks all that must hold then. */
async function end(place: Place, {id, worker, isAsking}: Begun): Promise<Task> {
  const {codebase, endpoint, keep, subject} = place
  const task = await finalTask(place, id)
  const runDir = runDirOf(place, id)
  if (keep && runDir)
    keepMessages(join(runDir, 'messages.ndjson'), join(keep, `${subject.name}${isAsking ? '-asks' : ''}.ndjson`))
  const why = () => `: ${task.error ?? task.result}\n${worker.stderr().slice(-2000)}`
  expectThat(task.status === 'completed', `the task is ${task.status}${why()}`)
  expectThat(task.attempt === 1, `the task took ${task.attempt} attempts`)
  const text = readFileSync(join(codebase, theEdit.file), 'utf8')
  expectThat(text === `${theEdit.new}\n`, `the file has ${JSON.stringify(text)}`)
  const output = await outputOf(place, id)
  const steps = endpoint.steps.join(' ')
  expectThat(/^(read )?edit text$/.test(steps), `the model was asked for: ${steps}`)
  const uses = output.filter(({type}) => type === 'tool_use').length
  expectThat(uses === endpoint.steps.length - 1, `the output has ${uses} tool calls`)
  expectThat(
    output.some((event) => JSON.stringify(event).includes(theEdit.say)),
    'the output lacks the final text',
  )
  expectThat(task.result?.includes(theEdit.say) === true, `the result is ${task.result}`)
  await isOver(place, {id, worker})
  return task
}

const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '')

function keepMessages(from: string, to: string): void {
  writeFileSync(to, readFileSync(from))
}

async function get({url}: Place, id: string): Promise<Task> {
  return (await (await fetch(`${url}/v1/opencode/tasks/${id}`)).json()) as Task
}

async function outputOf({url}: Place, id: string): Promise<{type: string}[]> {
  const answered = await fetch(`${url}/v1/opencode/tasks/${id}/output?since=0`)
  const {outputs} = (await answered.json()) as {outputs: {output: string}[]}
  const text = outputs.map(({output}) => output).join('')
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as {type: string})
}

function runDirOf({workshop}: Place, id: string): string | undefined {
  const path = join(workshop.path, 'state/workers/w/runs', id, '1')
  return existsSync(join(path, 'stdin')) ? path : undefined
}

/** The processes of a task: those with its marker, and those that work in the codebase. */
function processesOf({codebase}: Place, id: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      const isMarked = readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`:${id}:`)
      return isMarked || readlinkSync(`/proc/${pid}/cwd`).startsWith(codebase)
    } catch {
      return false
    }
  })
}

type Choice = {id: string; name: string; options?: readonly {value: string}[]}
type Session = {
  configOptions?: readonly Choice[]
  modes?: {availableModes: readonly {id: string}[]}
  models?: {availableModels: readonly unknown[]}
}

/** The models and modes that a session offers, and its other options. */
function optionsOf(messages: string): string {
  const line = messages.split('\n').find((text) => text.includes('"id":"session') && text.includes('"result"'))
  const {configOptions = [], modes, models} = (JSON.parse(line ?? '{"result":{}}') as {result: Session}).result
  const valuesOf = (name: string) => configOptions.find(({id}) => id === name)?.options?.map(({value}) => value)
  const modeNames = valuesOf('mode') ?? modes?.availableModes.map(({id}) => id) ?? []
  const modelCount = valuesOf('model')?.length ?? models?.availableModels.length ?? 0
  const others = configOptions.map(({id}) => id).filter((id) => id !== 'mode' && id !== 'model')
  const list = [
    `${modelCount} models`,
    `modes ${modeNames.join(', ')}`,
    others.length > 0 ? `also ${others.join(', ')}` : '',
  ]
  return list.filter(Boolean).join('; ')
}
