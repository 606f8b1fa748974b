import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import type {WorkerStatus} from '../../src/lib/control/messages.ts'
import {startOpenCodeFleet} from '../support/opencode-fleet.ts'
import {repository, until} from '../support/scratch.ts'

/** The real OpenCode, with a scripted model that refuses. The idle time is shorter than the waits that it asks for. */
let fleet: Awaited<ReturnType<typeof startOpenCodeFleet>>
let codebase = ''
beforeAll(async () => {
  fleet = await startOpenCodeFleet({A2A_IDLE_TIMEOUT: '4'})
  const path = repository(join(fleet.path, 'one'))
  await fleet.worker('w', [path])
  codebase = await fleet.codebaseId(path)
}, 120_000)
afterAll(() => fleet[Symbol.asyncDispose]())

const create = async (prompt: string) => (await fleet.http.task(codebase, {prompt})).id as string
const run = async (prompt: string) => fleet.ended(await create(prompt))

const tomorrow = '[fake:error status=429 retry_after=86400 say="Come back tomorrow."]'
const refused =
  /^Come back tomorrow\. \(the provider fake wants no request before \d{4}-\d\d-\d\dT[\d:]+Z; max_provider_wait is 900 s\)$/

test('a provider that asks for a day ends the task at once, with its own words', async () => {
  const startedAt = performance.now()
  expect(await run(tomorrow)).toMatchObject({status: 'failed', error: expect.stringMatching(refused)})
  expect(performance.now() - startedAt).toBeLessThan(25_000)
})

test('a provider that asks for a day after a tool call ends the task at once too', async () => {
  const task = await run(`[fake:bash cmd="echo hi"] ${tomorrow}`)
  expect(task).toMatchObject({status: 'failed', error: expect.stringMatching(refused)})
})

test.each([429, 503])(
  'a wait after a %i is honoured and shown in the status and in the task, and the task completes',
  async (status) => {
    const id = await create(
      `[fake:bash cmd="echo hi"] [fake:error status=${status} retry_after=8 times=1 say="Slow down."]`,
    )
    const waiting = await until(async () => (await fleet.http.get(id)).waiting, 'the task to wait')
    expect(waiting).toMatch(/^Waiting for the provider fake until \S+Z: Slow down\.$/)
    const {stdout} = await fleet.cli(['status', '--json'])
    const [worker] = (JSON.parse(stdout) as {local: WorkerStatus[]}).local
    expect(worker?.tasks).toMatchObject([{id, phase: 'running', waiting}])
    expect((await fleet.cli(['status'])).stdout).toContain('Slow down.')
    expect(await fleet.ended(id)).toMatchObject({status: 'completed', result: 'Done.', waiting: null})
  },
)

test('a key that the provider refuses ends the task with the words of the provider', async () => {
  const task = await run('[fake:error status=401 say="Incorrect API key."]')
  expect(task).toMatchObject({status: 'failed', error: 'Incorrect API key.'})
})
