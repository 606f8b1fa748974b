import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import type {Running} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {openTerminal} from '../support/terminal.ts'
import {says} from '../support/workshop.ts'

/** A control plane and a worker, with one served and one unserved codebase. */
let fleet: Awaited<ReturnType<typeof startFleet>>
let served = ''
let idle = ''

beforeAll(async () => {
  fleet = await startFleet({isPlaneProcess: true})
  const path = repository(join(fleet.path, 'served'))
  await fleet.worker('w', [path])
  served = await fleet.codebaseId(path)
  idle = await fleet.http.codebase('absent', '/srv/idle')
})
afterAll(() => fleet[Symbol.asyncDispose]())

const create = (prompt: string, ...args: string[]) => ['tasks', 'create', prompt, '--codebase', served, ...args]

/** Waits until the task created by a waiting command runs, and returns its id. */
async function runningTask(waiting: Running): Promise<string> {
  await says(waiting, /^Task \S+$/m)
  const [, id = ''] = /^Task (\S+)$/m.exec(waiting.stderr()) ?? []
  await until(async () => (await fleet.http.get(id)).status === 'running', 'the task to run')
  return id
}

test('create prints the id; with --wait it prints the result and exits by the outcome', async () => {
  const created = await fleet.cli(create('@lines=1'))
  expect(created.stdout).toMatch(/^\S+\n$/)
  expect((await fleet.ended(created.stdout.trim())).status).toBe('completed')
  expect(await fleet.cli(create('@lines=2', '--wait'))).toMatchObject({code: 0, stdout: 'line 0\nline 1\n'})
  expect(await fleet.cli(create('@nofinish', '--wait'))).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^failed: .*exited with code 0/m),
  })
})

test('on a terminal create prints the next steps on stderr, and stdout stays the bare id', async () => {
  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env, columns: 160})
  const run = (...more: string[]) =>
    terminal.run(...['tasks', 'create', 'x', '--codebase', idle, '--server', fleet.url], ...more)
  run()
  await terminal.shows(
    /^([0-9a-f]{8})-\S+\n {2}→ Follow it: a2a-worker tasks output \1 --follow\n {2}→ Cancel it: a2a-worker tasks cancel \1$/m,
  )
  for (const captured of ['| cat', '2>/dev/null']) {
    terminal.type('clear')
    terminal.press('Enter')
    run(captured)
    await terminal.shows(/^[0-9a-f]{8}-[0-9a-f-]{27}\n\$/m)
  }
})

test('create --follow shows what the agent does as it happens', async () => {
  const following = fleet.start(create('@lines=2 @ms=800', '--follow'))
  await until(() => following.stdout() === 'line 0\nline 1\n', 'the output')
  expect(following.process.exitCode).toBeNull()
  expect(await following.finished).toMatchObject({
    code: 0,
    stdout: 'line 0\nline 1\nTokens: 10 in, 5 out; cost: $0.2500\n',
  })
})

test('create --json prints the task; with --wait it prints the ended task and exits by the outcome', async () => {
  const created = await fleet.cli(create('@ms=100', '--json', '--title', 'Mine', '--metadata', 'a=b=c'))
  expect(JSON.parse(created.stdout)).toMatchObject({title: 'Mine', status: 'assigned', metadata: {a: 'b=c'}})
  const waited = await fleet.cli(create('@nofinish', '--wait', '--json'))
  expect(waited.code).toBe(1)
  expect(JSON.parse(waited.stdout)).toMatchObject({status: 'failed', error: expect.any(String)})
})

test('create --wait says why a task waits, and exits 3 when the task is cancelled', async () => {
  const waiting = fleet.start(['tasks', 'create', 'x', '--codebase', idle, '--wait'])
  await says(waiting, /No worker serves .*idle now\. The task waits until one does\.[^]*^Waiting: /m)
  const [, id = ''] = /^Task (\S+)$/m.exec(waiting.stderr()) ?? []
  expect(await fleet.cli(['tasks', 'cancel', id])).toMatchObject({code: 0, stdout: `Task ${id} is cancelled.\n`})
  expect((await waiting.finished).code).toBe(3)
})

test('Ctrl-C while waiting leaves the task running, prints follow-up commands, and exits 130', async () => {
  const waiting = fleet.start(create('@ms=700 @lines=1', '--wait'))
  const id = await runningTask(waiting)
  waiting.process.kill('SIGINT')
  expect((await waiting.finished).code).toBe(130)
  expect(waiting.stderr()).toContain(
    `Task ${id} keeps running.
  → Follow it: a2a-worker tasks output ${id} --follow
  → Cancel it: a2a-worker tasks cancel ${id}\n`,
  )
  expect(waiting.stderr()).not.toContain('Error:')
  expect((await fleet.ended(id)).status).toBe('completed')
})

test('Ctrl-C with --cancel-on-interrupt cancels the task', async () => {
  const waiting = fleet.start(create('@hang', '--wait', '--cancel-on-interrupt'))
  const id = await runningTask(waiting)
  waiting.process.kill('SIGINT')
  expect((await waiting.finished).code).toBe(130)
  expect((await fleet.ended(id)).status).toBe('cancelled')
})

test('--timeout limits the wait, not the task: exit 75', async () => {
  const {code, stderr} = await fleet.cli(create('@ms=1500', '--wait', '--timeout', '1'))
  expect(code).toBe(75)
  const [, id = ''] = /Task (\S+) has not ended within 1 s\. It keeps running\./.exec(stderr) ?? []
  expect(stderr).toContain(`a2a-worker tasks output ${id} --follow`)
  expect((await fleet.ended(id)).status).toBe('completed')
})

test('output --follow continues until the task ends, survives a server restart, and exits by the outcome', async () => {
  const {id} = await fleet.http.task(served, {prompt: '@lines=3 @ms=2500 @nofinish'})
  await until(async () => (await fleet.output(id)).includes('line 2'), 'the output')
  const following = fleet.start(['tasks', 'output', id, '--follow'])
  await until(() => following.stdout().includes('line 2'), 'what there is')
  await fleet.killPlane()
  await says(following, /Trying again/)
  await fleet.restartPlane()
  expect(await following.finished).toMatchObject({code: 1, stdout: 'line 0\nline 1\nline 2\n'})
  expect(following.stderr()).toMatch(/^failed: .*exited with code 0/m)
})

test("output --raw prints the agent's events unchanged, --json prints the chunks", async () => {
  const {id} = await fleet.http.task(served, {prompt: '@lines=3'})
  await fleet.ended(id)
  const raw = await fleet.cli(['tasks', 'output', id, '--raw'])
  expect(raw).toMatchObject({code: 0, stdout: await fleet.output(id)})
  expect(raw.stdout.trim().split('\n')).toHaveLength(5)
  const followed = await fleet.cli(['tasks', 'output', id, '--raw', '--follow'])
  expect(followed).toMatchObject({code: 0, stdout: raw.stdout})
  const json = JSON.parse((await fleet.cli(['tasks', 'output', id, '--json'])).stdout) as {outputs: {output: string}[]}
  expect(json.outputs.map(({output}) => output).join('')).toBe(raw.stdout)
})

test('a signal ends output --follow with 130, and the task keeps running', async () => {
  const {id} = await fleet.http.task(served, {prompt: '@hang @lines=1'})
  const following = fleet.start(['tasks', 'output', id, '--follow'])
  await until(() => following.stdout() === 'line 0\n', 'the output')
  following.process.kill('SIGINT')
  expect((await following.finished).code).toBe(130)
  expect((await fleet.http.get(id)).status).toBe('running')
  expect((await fleet.cli(['tasks', 'cancel', id, '--wait'])).code).toBe(0)
})

test('cancel ends a waiting task at once and a running task when its processes have ended; an ended task stays as it is', async () => {
  const waiting = await fleet.http.task(idle)
  const cancel = (id: string, ...args: string[]) => fleet.cli(['tasks', 'cancel', id, ...args])
  expect(await cancel(waiting.id)).toMatchObject({code: 0, stdout: `Task ${waiting.id} is cancelled.\n`})
  const running = await fleet.http.task(served, {prompt: '@hang'})
  await until(async () => (await fleet.http.get(running.id)).session_id, 'the task to run')
  const cancelled = await cancel(running.id, '--wait', '--json')
  expect(cancelled.code).toBe(0)
  expect(JSON.parse(cancelled.stdout)).toMatchObject({id: running.id, status: 'cancelled'})
  const done = await fleet.http.task(served)
  await fleet.ended(done.id)
  for (const [id, status] of [
    [done.id, 'completed'],
    [waiting.id, 'cancelled'],
  ] as const) {
    expect(await cancel(id)).toMatchObject({code: 1, stderr: expect.stringContaining(`already ${status}`)})
    expect((await fleet.http.get(id)).status).toBe(status)
  }

  expect(await cancel('nothing')).toMatchObject({code: 1, stderr: expect.stringMatching(/Task not found/)})
})

test('list reads all pages up to its limit, filtered by status, codebase and worker', async () => {
  const many = await fleet.http.codebase('absent', '/srv/many')
  for (let i = 0; i < 520; i += 20)
    await Promise.all(Array.from({length: 20}, (_, j) => fleet.http.task(many, {title: `n ${i + j}`})))
  const ids = async (...args: string[]) => {
    const {code, stdout} = await fleet.cli(['tasks', 'list', '--json', ...args])
    expect(code).toBe(0)
    return (JSON.parse(stdout) as {id: string; codebase_id: string; status: string}[]).map((task) => task.id)
  }
  expect(new Set(await ids('--codebase', many, '--limit', '1000')).size).toBe(520)
  expect(await ids('--codebase', '/srv/many', '--limit', '510')).toHaveLength(510)
  expect(await ids('--codebase', many)).toHaveLength(100)
  expect(await ids('--codebase', many, '--status', 'running')).toEqual([])
  const mine = await fleet.http.task(many, {title: 'urgent', priority: 9})
  expect(await ids('--worker', 'absent', '--status', 'pending', '--limit', '1')).toEqual([mine.id])
  const text = await fleet.cli(['tasks', 'list', '--codebase', many, '--limit', '2'])
  expect(text.stdout).toMatch(
    /^ID +STATUS +CODEBASE .* TITLE\n\S+ +pending +\S+many .* urgent.*\n\S+ +pending .* n \d+.*\n$/,
  )
  expect(await fleet.cli(['tasks', 'list', '--codebase', 'manny'])).toMatchObject({code: 2})
  expect((await fleet.cli(['tasks', 'list', '--status', 'done'])).code).toBe(2)
})

test('get shows a task; an unknown task exits 1 with the message of the server', async () => {
  const {id} = await fleet.http.task(served, {title: 'Shown'})
  await fleet.ended(id)
  expect((await fleet.cli(['tasks', 'get', id])).stdout).toMatch(/title +Shown\nstatus +completed[^]*cost +\$0\.2500/)
  expect(await fleet.cli(['tasks', 'get', 'nothing'])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/Task not found/),
  })
})

test('retry runs an ended task again under the same id, and refuses a waiting or running task', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  await fleet.worker('w', [path])
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=1 @nofinish'})
  expect((await fleet.ended(id)).status).toBe('failed')
  const retried = await fleet.cli(['tasks', 'retry', id])
  expect(retried).toMatchObject({code: 0, stdout: `Task ${id} is pending again, as attempt 2.\n`})
  await until(async () => (await fleet.http.get(id)).attempt === 2, 'the second attempt')
  expect(await fleet.ended(id)).toMatchObject({status: 'failed', attempt: 2})
  const hanging = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@hang'})
  await until(async () => (await fleet.http.get(hanging.id)).status === 'running', 'the run')
  expect(await fleet.cli(['tasks', 'retry', hanging.id])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/is running on worker .*cancel it first/),
  })
  expect((await fleet.cli(['tasks', 'retry', 'nothing'])).code).toBe(1)
})
