import {readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'

type AgentLog = {at: string; pid: number; cwd: string; pwd: string; prompt: string; args: string[]; env: string[]}

/** The complete lines that the stub agents have logged so far. */
function agentLog(path: string): AgentLog[] {
  const text = readFileSafe(join(path, 'agent.log'))
  const lines = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as AgentLog)
}

/** Processes that carry the marker of a task. */
const processesOf = (task: string) =>
  readdirSync('/proc').filter(
    (name) => /^\d+$/.test(name) && readFileSafe(`/proc/${name}/environ`).includes(`:${task}:`) && !isZombie(name),
  )

function readFileSafe(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

const isZombie = (pid: string) => / [ZX] /.test(readFileSafe(`/proc/${pid}/stat`).split(')').at(-1)?.slice(0, 4) ?? '')

/** One worker with two codebases, for the tests that leave it unchanged. */
let shared: Awaited<ReturnType<typeof startFleet>>
let paths: string[] = []
let ids: string[] = []
const [a, b] = [() => ids[0] ?? '', () => ids[1] ?? '']

beforeAll(async () => {
  shared = await startFleet({env: {A2A_AUTH_TOKEN: 'not-for-the-agent'}})
  paths = ['a', 'b'].map((name) => repository(join(shared.path, name)))
  await shared.worker('w', paths)
  ids = await Promise.all(paths.map((path) => shared.codebaseId(path)))
})
afterAll(() => shared[Symbol.asyncDispose]())

/** What agents log after this call. */
function newNotes(): () => AgentLog[] {
  const before = agentLog(shared.path).length
  return () => agentLog(shared.path).slice(before)
}

test('a task runs in its codebase, its output arrives completely, and its outcome is reported', async () => {
  const notes = newNotes()
  const task = await shared.http.task(a(), {
    prompt: 'say "hi"\n--help @lines=2000',
    title: '-t',
  })
  expect(await shared.ended(task.id)).toMatchObject({
    status: 'completed',
    result: expect.stringMatching(/^line 0\n[^]*line 1999$/),
    session_id: expect.stringMatching(/^ses_stub/),
    usage: {cost: 0.25, input: 10, output: 5, duration_ms: expect.any(Number)},
  })
  const lines = (await shared.output(task.id))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as {type: string; part?: {text?: string}})
  expect(lines).toHaveLength(2002)
  expect(lines.filter(({type}) => type === 'text').map(({part}) => part?.text)).toEqual(
    Array.from({length: 2000}, (_, i) => `line ${i}`),
  )
  const [agent] = notes()
  expect(agent).toMatchObject({cwd: paths[0], pwd: paths[0], prompt: 'say "hi"\n--help @lines=2000'})
  expect(agent?.env.filter((name) => name.startsWith('A2A_'))).toEqual(['A2A_RUN'])
  expect(agent?.args).toEqual(['--format', 'json', '--agent', 'build', '--title=-t'])
})

test('tasks of two codebases run in parallel; tasks of one working tree run one after the other', async () => {
  const notes = newNotes()
  const tasks = await Promise.all([0, 0, 1].map((i) => shared.http.task(ids[i] ?? '', {prompt: `@ms=400 of ${i}`})))
  for (const {id} of tasks) expect((await shared.ended(id)).status).toBe('completed')
  const log = notes()
  let inA = 0
  let most = 0
  let running = 0
  const pids = new Map(log.filter(({at}) => at === 'start').map(({pid, cwd}) => [pid, cwd]))
  for (const {at, pid} of log) {
    const step = at === 'start' ? 1 : -1
    running += step
    if (pids.get(pid) === paths[0]) inA += step
    expect(inA).toBeLessThan(2)
    most = Math.max(most, running)
  }

  expect(most).toBe(2)
})

test('cancel ends the agent and its background processes, and only then the task is cancelled', async () => {
  const {id} = await shared.http.task(a(), {prompt: '@nohup @hang'})
  await until(() => processesOf(id).length === 2, 'the agent and its background process')
  const {code, stdout} = await shared.cli(['tasks', 'cancel', id, '--wait'])
  expect(stdout).toMatch(/is cancelled/)
  expect(code).toBe(0)
  expect((await shared.ended(id)).status).toBe('cancelled')
  expect(processesOf(id)).toEqual([])
})

test('background processes of an agent are ended after a success, too', async () => {
  const {id} = await shared.http.task(a(), {prompt: '@nohup'})
  expect((await shared.ended(id)).status).toBe('completed')
  expect(processesOf(id)).toEqual([])
})

test('an agent that exits 0 without a terminal event has not completed its task', async () => {
  const codebase = a()
  const {id} = await shared.http.task(codebase, {prompt: '@nofinish'})
  expect(await shared.ended(id)).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/exited with code 0 before the task was done/),
  })
  const general = await shared.http.task(codebase, {agent_type: 'general'})
  expect(await shared.ended(general.id)).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/no agent general/),
  })
  const model = await shared.http.task(codebase, {metadata: {model: 'stub/fats'}})
  expect(await shared.ended(model.id)).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/no model stub\/fats; near: stub\/fast/),
  })
})

test('echo and noop tasks need no agent', async () => {
  const notes = newNotes()
  const codebase = a()
  const echo = await shared.http.task(codebase, {agent_type: 'echo', prompt: 'back'})
  const noop = await shared.http.task(codebase, {agent_type: 'noop'})
  expect(await shared.ended(echo.id)).toMatchObject({status: 'completed', result: 'back'})
  expect(await shared.ended(noop.id)).toMatchObject({status: 'completed', result: 'ok'})
  expect(notes()).toEqual([])
})

test('a control plane that is killed and restarted while a task runs loses nothing', async () => {
  await using fleet = await startFleet({isPlaneProcess: true})
  const path = repository(join(fleet.path, 'p'))
  const worker = await fleet.worker('w', [path])
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=500 @ms=1500'})
  await until(() => agentLog(fleet.path).length > 0, 'the agent to start')
  await fleet.killPlane()
  await until(() => /out of reach|polling/.test(worker.stderr()), 'the worker to notice')
  await until(() => agentLog(fleet.path).length > 1, 'the agent to end')
  await fleet.restartPlane()
  expect(await fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  expect((await fleet.output(id)).trim().split('\n')).toHaveLength(502)
  expect(agentLog(fleet.path).filter(({at}) => at === 'start')).toHaveLength(1)
})

test('the first SIGTERM lets the running task end and takes no other; then the worker unregisters', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const worker = await fleet.worker('w', [path])
  const codebase = await fleet.codebaseId(path)
  const {id} = await fleet.http.task(codebase, {prompt: '@ms=700'})
  await until(() => agentLog(fleet.path).length > 0, 'the agent to start')
  worker.process.kill('SIGTERM')
  await until(() => worker.stderr().includes('Worker is draining'), 'the drain')
  const next = await fleet.http.task(codebase)
  expect((await worker.finished).code).toBe(0)
  expect((await fleet.http.get(id)).status).toBe('completed')
  expect((await fleet.http.get(next.id)).status).toBe('pending')
  expect((await fleet.http.call('GET', '/v1/opencode/workers')).body).toEqual([])
})

test('a second SIGTERM ends the running task, which is reported as failed for that reason', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const worker = await fleet.worker('w', [path])
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@hang'})
  await until(() => agentLog(fleet.path).length > 0, 'the agent to start')
  worker.process.kill('SIGTERM')
  await until(() => worker.stderr().includes('Worker is draining'), 'the drain')
  worker.process.kill('SIGTERM')
  expect((await worker.finished).code).toBe(0)
  expect(await fleet.http.get(id)).toMatchObject({status: 'failed', error: 'Worker shut down while the task ran'})
  expect(processesOf(id)).toEqual([])
})

test('a second worker with the same name is refused, and the message names the holder', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const first = await fleet.worker('w', [path])
  const {code, stderr} = await fleet.cli(['start', '--name', 'w', '--codebase', path])
  expect(code).toBe(75)
  expect(stderr).toContain(`A worker named 'w' runs already: pid ${first.process.pid}`)
})

test('two workers never run tasks in the same working tree at once', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  await fleet.worker('one', [path])
  await fleet.worker('two', [path])
  const all = (await fleet.http.call('GET', '/v1/opencode/codebases')).body as {id: string}[]
  expect(all).toHaveLength(2)
  const tasks = await Promise.all(all.map(({id}) => fleet.http.task(id, {prompt: '@ms=300'})))
  for (const {id} of tasks) expect((await fleet.ended(id)).status).toBe('completed')
  expect(agentLog(fleet.path).map(({at}) => at)).toEqual(['start', 'end', 'start', 'end'])
})

test("the agent's stdout is the spool file itself, so that it outlives the worker", async () => {
  const notes = newNotes()
  const {id} = await shared.http.task(b(), {prompt: '@hang'})
  const agent = await until(() => notes()[0], 'the agent to start')
  const {readlinkSync} = await import('node:fs')
  expect(readlinkSync(`/proc/${agent.pid}/fd/1`)).toBe(join(shared.path, 'state/workers/w/runs', id, '1/stdout.ndjson'))
  await shared.http.call('POST', `/v1/opencode/tasks/${id}/cancel`)
  expect((await shared.ended(id)).status).toBe('cancelled')
})

test('without configuration start runs its own control plane; a second start joins it, and takes over when the first ends', async () => {
  await using fleet = await startFleet()
  const paths = ['a', 'b'].map((name) => repository(join(fleet.path, name)))
  const {start} = await import('../support/cli.ts')
  const launch = async (cwd: string) => {
    const worker = start(['start'], {cwd, env: fleet.env})
    await until(() => worker.stderr().includes('Task stream connected'), 'the worker to connect')
    return worker
  }
  const first = await launch(paths[0] ?? '')
  const second = await launch(paths[1] ?? '')
  try {
    expect(second.stderr()).toContain('hosted by another process')
    await stop(first, 'SIGKILL')
    await until(() => second.stderr().includes('Took over the control plane'), 'the takeover')
    const {cli} = await import('../support/cli.ts')
    const done = await cli(['tasks', 'create', '@lines=1', '--wait'], {cwd: paths[1] ?? '', env: fleet.env})
    expect(done).toMatchObject({code: 0, stdout: 'line 0\n'})
  } finally {
    for (const worker of [first, second]) if (worker.process.exitCode === null) await stop(worker, 'SIGKILL')
  }
})
