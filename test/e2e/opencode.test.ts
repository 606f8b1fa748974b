import {existsSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import type {Task} from '../../src/lib/protocol/schemas.ts'
import {processesOf, startOpenCodeFleet} from '../support/opencode-fleet.ts'
import {repository, until} from '../support/scratch.ts'

/** The real OpenCode with the scripted model: what the agent prints, how it ends, and what it leaves behind. */
let fleet: Awaited<ReturnType<typeof startOpenCodeFleet>>
let codebases: {id: string; path: string}[] = []

beforeAll(async () => {
  fleet = await startOpenCodeFleet()
  const paths = ['one', 'two'].map((name) => repository(join(fleet.path, name)))
  await fleet.worker('w', paths)
  codebases = await Promise.all(paths.map(async (path) => ({path, id: await fleet.codebaseId(path)})))
}, 120_000)
afterAll(() => fleet[Symbol.asyncDispose]())

const one = () => codebases[0] ?? {id: '', path: ''}
const two = () => codebases[1] ?? {id: '', path: ''}
const run = async (prompt: string, more: Record<string, unknown> = {}) =>
  fleet.ended((await fleet.http.task(one().id, {prompt, ...more})).id)

/** One run of OpenCode for several tests, because each run costs seconds of CPU. It covers permissions and the answer. */
let done: Promise<Task> | undefined
const outside = () => join(fleet.path, 'outside/x.txt')
const runOnce = () =>
  (done ??= run(
    `[fake:edit path=${outside()} text=no] [fake:bash cmd="env | sort"] ` +
      '[fake:edit path=hello.txt text="hi\\n"] [fake:text say="All good."]',
  ))

test('an edit changes the code, and result, session, tokens and cost are reported', async () => {
  const task = await runOnce()
  expect(task).toMatchObject({
    status: 'completed',
    result: 'All good.',
    error: null,
    session_id: expect.stringMatching(/^ses_/),
  })
  expect(task.usage?.input).toBeGreaterThan(0)
  expect(task.usage?.cost).toBeGreaterThan(0)
  expect(readFileSync(join(one().path, 'hello.txt'), 'utf8')).toBe('hi\n')
  const shown = await fleet.cli(['tasks', 'output', task.id])
  expect(shown.stdout).toMatch(/✓ write hello\.txt\nAll good\.\nTokens: \d+ in, \d+ out; cost: \$0\.0\d+\n/)
  const raw = await fleet.cli(['tasks', 'output', task.id, '--raw'])
  expect(
    raw.stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as {type: string}).type),
  ).toContain('step_finish')
})

test('a prompt reaches the model as it is: quotes, newlines, a leading dash, 200 KB', async () => {
  const prompt = `--help "quoted" 'single' \\ back\nnew line ${'x'.repeat(200_000)}`
  expect(await run(prompt)).toMatchObject({
    status: 'completed',
    result: expect.stringContaining('You said: --help "quoted" \'single\' \\ back\nnew line xxx'),
  })
})

test('a question gets its answer, and a task that continues the session has what was said before it', async () => {
  const first = await run('[fake:text say="My name is Ada."]')
  expect(first).toMatchObject({status: 'completed', result: 'My name is Ada.'})
  const asked = fleet.requests.at(-1)?.messages ?? 0
  const next = await run('[fake:text say=Ada]', {metadata: {resume_session_id: first.session_id}})
  expect(next).toMatchObject({status: 'completed', result: 'Ada', session_id: first.session_id})
  expect(fleet.requests.at(-1)?.messages).toBe(asked + 2)

  // What OpenCode would run in the old directory, or wait for without end, is refused before it starts.
  const before = fleet.requests.length
  const elsewhere = await fleet.http.task(two().id, {prompt: 'x', metadata: {resume_session_id: first.session_id}})
  expect(await fleet.ended(elsewhere.id)).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/belongs to .*one, not to .*two/),
  })
  const unknown = await fleet.cli(['tasks', 'create', 'x', '--codebase', one().id, '--resume', 'ses_unknown', '--wait'])
  expect(unknown).toMatchObject({code: 1, stderr: expect.stringMatching(/There is no session ses_unknown/)})
  expect(fleet.requests.length).toBe(before)
})

test('a model that refuses the key fails the task with its words', async () => {
  expect(await run('[fake:error status=401]')).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/Incorrect API key/),
  })
})

test('an unknown model is named before OpenCode starts, with the nearest ones', async () => {
  const before = fleet.requests.length
  expect(await run('hello', {metadata: {model: 'fake/smal'}})).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/no model fake\/smal; near: fake\/small/),
  })
  expect(fleet.requests.length).toBe(before)
})

test('what would need a permission is denied to the model, and the task goes on', async () => {
  const task = await runOnce()
  expect(task).toMatchObject({status: 'completed', result: 'All good.'})
  expect((await fleet.cli(['tasks', 'output', task.id])).stdout).toMatch(/✗ write/)
  expect(existsSync(outside())).toBe(false)
})

test("the shell of the model does not see the worker's token", async () => {
  const task = await runOnce()
  expect(task.status).toBe('completed')
  const output = await fleet.output(task.id)
  expect(output).toContain('A2A_RUN=')
  expect(output).not.toMatch(/A2A_AUTH_TOKEN|token-of-the-worker/)
})

test('cancel in a model call, and in a shell command with a background process, leaves nothing alive', async () => {
  const hanging = await fleet.http.task(one().id, {prompt: '[fake:hang]'})
  const shell = await fleet.http.task(two().id, {
    prompt: '[fake:bash cmd="nohup sleep 599 >nohup.out 2>&1 & sleep 598"]',
  })
  await until(() => fleet.requests.some(({step}) => step === 'hang'), 'the model call')
  await until(() => existsSync(join(two().path, 'nohup.out')), 'the shell command')
  for (const {id} of [hanging, shell]) expect((await fleet.cli(['tasks', 'cancel', id])).code).toBe(0)
  for (const {id} of [hanging, shell]) {
    expect((await fleet.ended(id)).status).toBe('cancelled')
    expect(processesOf(id)).toEqual([])
  }
})
