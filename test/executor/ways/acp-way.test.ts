import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, describe, expect, test} from 'vitest'
import {acpExecutor} from '../../support/acp-agent.ts'
import {processesOf, recordingObserver, relaxed, requestFor, runToEnd, startRun} from '../../support/agent-run.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {waitFor} from '../../support/wait-for.ts'

const scratch = scratchFolder()
afterAll(() => scratch[Symbol.dispose]())
const executor = acpExecutor(scratch.path)

const request = (prompt: string, rest = {}) => requestFor(scratch.path, prompt, rest)

const eventsOf = ({runDir}: {runDir: string}) =>
  readFileSync(join(runDir, 'stdout.ndjson'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

test('a task is run to its end, and its events are those of `opencode run`', async () => {
  const made = request('text Let me look.\ntool read a file\ncost 0.5\nchunks 50 word\nusage 100 7\ncost 0.75')
  const {observed, outcome} = await runToEnd(executor, made)
  expect(outcome).toMatchObject({status: 'completed', error: null, sessionId: expect.stringMatching(/^ses_/)})
  expect(outcome.result).toMatch(/^word0 word1 .*word49 $/)
  expect(outcome.usage).toMatchObject({input: 100, output: 7, cost: 0.75})
  expect(eventsOf(made).map(({type}) => type)).toEqual([
    ...['step_start', 'text', 'tool_use', 'step_finish', 'step_start', 'text', 'step_finish'],
  ])
  expect(observed.activities.slice(0, 2)).toEqual(['Let me look.', 'read a file'])
  expect(processesOf(made.marker)).toEqual([])
})

test('the prompt arrives as it is, also if it is larger than the pipe', async () => {
  const log = join(scratch.path, 'large.log')
  const prompt = `text ${'ä"\\'.repeat(100_000)}`
  const {outcome} = await runToEnd(acpExecutor(scratch.path, {log}), request(prompt))
  expect(outcome.status).toBe('completed')
  const sent = readFileSync(log, 'utf8')
    .split('\n')
    .map((line) => (line ? (JSON.parse(line) as any) : {}))
  expect(sent.find(({method}) => method === 'session/prompt').params.prompt[0].text).toBe(prompt)
})

test('model and mode are chosen, and a wrong one is refused with the list', async () => {
  const log = join(scratch.path, 'options.log')
  const chosen = await runToEnd(
    acpExecutor(scratch.path, {log}),
    request('text hi', {model: 'fake/small', agent: 'plan'}),
  )
  expect(chosen.outcome.status).toBe('completed')
  expect(readFileSync(log, 'utf8').match(/"value":"[^"]+"/g)).toEqual(['"value":"fake/small"', '"value":"plan"'])
  const model = await runToEnd(executor, request('text hi', {model: 'other/y'}))
  expect(model.outcome).toMatchObject({
    status: 'failed',
    error: 'the scripted agent has no model other/y; it has fake/x, fake/small',
  })
  const mode = await runToEnd(executor, request('text hi', {agent: 'dream'}))
  expect(mode.outcome.error).toBe('the scripted agent has no mode dream; it has build, plan')
})

test('a task that names no mode gets that of its agent', async () => {
  const log = join(scratch.path, 'modes.log')
  const asking = acpExecutor(scratch.path, {log, mode: 'plan'})
  expect((await runToEnd(asking, request('text hi'))).outcome.status).toBe('completed')
  expect(readFileSync(log, 'utf8').match(/"value":"[^"]+"/g)).toEqual(['"value":"plan"'])
  const {outcome} = await runToEnd(acpExecutor(scratch.path, {mode: 'dream'}), request('text hi'))
  expect(outcome.error).toBe('the scripted agent has no mode dream; it has build, plan')
})

test('a notice of the agent is no part of its answer', async () => {
  const {outcome} = await runToEnd(executor, request('text done\nnotice Your plan ends soon'))
  expect(outcome).toMatchObject({status: 'completed', result: 'done'})
})

test('a session is continued, by loading if there is no other way, without its history', async () => {
  for (const behaviour of ['', 'no-resume,load']) {
    const made = request('text new', {sessionId: 'ses_old'})
    const {outcome} = await runToEnd(acpExecutor(scratch.path, {behaviour}), made)
    expect(outcome).toMatchObject({status: 'completed', result: 'new', sessionId: 'ses_old'})
  }
  const {outcome} = await runToEnd(
    acpExecutor(scratch.path, {behaviour: 'no-resume'}),
    request('x', {sessionId: 'ses_old'}),
  )
  expect(outcome.error).toMatch(/cannot continue the session ses_old: it announces neither resume nor load/)
})

describe('how a turn ends is the outcome', () => {
  test.each([
    ['stop max_tokens', 'completed', null],
    ['stop refusal', 'failed', 'the agent refused to continue'],
    ['stop max_turn_requests', 'failed', /as often as it may/],
    ['stop cancelled', 'failed', 'the turn was cancelled'],
    ['stop something-new', 'failed', /unknown reason: something-new/],
    ['stop constructor', 'failed', /unknown reason: constructor/],
    ['fail -32603 Internal error: bad key', 'failed', 'bad key'],
    ['die', 'failed', /exited with code 1 before the task was done: the agent was hit by a meteor/],
  ])('%s', async (script, status, error) => {
    const {outcome} = await runToEnd(executor, request(`text hi\n${script}`))
    expect(outcome.status).toBe(status)
    if (error === null) expect(outcome.error).toBeNull()
    else expect(outcome.error).toEqual(typeof error === 'string' ? error : expect.stringMatching(error))
  })
})

describe('an agent that cannot begin is a named failure in bounded time', () => {
  const short = {deadlines: {...relaxed, startup: 1500, grace: 200}}
  test.each([
    ['initialize-hangs', /did nothing for 1.5 s \(startup_timeout\); the agent has not answered initialize/],
    ['initialize-dies', /ended before it answered initialize; cannot find module brain/],
    ['version-2', /speaks version 2 of the Agent Client Protocol, and this worker version 1/],
    ['session-hangs', /the agent has not answered session\/new/],
    ['login', /asks for a login: log in with the agent's own program .*\(methods: oauth\)/],
    [
      'noise-first,initialize-hangs',
      /lines that are no messages of the protocol \(1\), the first: Welcome to the agent!/,
    ],
  ])('%s', async (behaviour, error) => {
    const made = request('text hi', short)
    const {outcome} = await runToEnd(acpExecutor(scratch.path, {behaviour}), made)
    expect(outcome).toMatchObject({status: 'failed', error: expect.stringMatching(error)})
    expect(processesOf(made.marker)).toEqual([])
  })

  test('an agent that has a key is told to use it', async () => {
    const {outcome} = await runToEnd(acpExecutor(scratch.path, {behaviour: 'key'}), request('text hi'))
    expect(outcome).toMatchObject({status: 'completed', result: 'hi'})
  })
})

test('noise is no message, and a request that the client does not offer is refused', async () => {
  const {outcome} = await runToEnd(executor, request('noise 3\nask-unknown'))
  expect(outcome).toMatchObject({status: 'completed', result: 'answered -32601'})
})

test('a cancelled task ends its turn first, and no process is left', async () => {
  const log = join(scratch.path, 'cancel.log')
  const made = request('shell true\nforever')
  const {observed, observer} = recordingObserver()
  const agent = await startRun(acpExecutor(scratch.path, {log}), made, observer)
  await waitFor(() => observed.activities.length > 0, 'the first tool call')
  agent.stop({status: 'cancelled', error: 'by a person'})
  expect(await agent.outcome).toMatchObject({status: 'cancelled', error: 'by a person'})
  expect(readFileSync(log, 'utf8')).toContain('"method":"session/cancel"')
  expect(processesOf(made.marker)).toEqual([])
})

test('an agent that prints without end is ended', async () => {
  const made = request('noise 200000\nforever', {maxOutputBytes: 1_000_000})
  const {outcome} = await runToEnd(executor, made)
  expect(outcome.error).toMatch(/printed more than .*max_output_mb/)
})
