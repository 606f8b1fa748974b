import {existsSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, describe, expect, test} from 'vitest'
import {adoptRun} from '../../src/lib/executor/adopt.ts'
import {systemClock} from '../../src/lib/core/clock.ts'
import type {RunOutcome} from '../../src/lib/executor/executor.ts'
import {ageMs, isAlive, readProcess} from '../../src/lib/executor/processes/processes.ts'
import {answering, error, finish, printing, stepStart, text, tool} from '../support/agent-lines.ts'
import {processesOf, recordingObserver, relaxed, requestFor, runToEnd, startRun} from '../support/agent-run.ts'
import {fastClock} from '../support/fast-clock.ts'
import {scratchFolder} from '../support/scratch.ts'
import {shell} from '../support/shell.ts'
import {stubExecutor} from '../support/stub-executor.ts'
import {waitFor} from '../support/wait-for.ts'

const scratch = scratchFolder()
const executor = stubExecutor(scratch.path)
afterAll(() => scratch[Symbol.dispose]())

const request = (script: string, rest = {}) => requestFor(scratch.path, script, rest)

/** Starts a run and waits until it has printed its first event. */
async function started(script: string, rest = {}, by = executor) {
  const made = request(`${printing(stepStart())}${script}`, rest)
  const {observed, observer} = recordingObserver()
  const agent = await startRun(by, made, observer)
  await waitFor(() => observed.sessions.length > 0, 'the first event')
  return {request: made, observed, agent}
}

test('a run reports its process, its session, its events and its outcome', async () => {
  const lines = [stepStart(), tool('write', {status: 'completed', title: 'a.txt'}), finish('tool-calls')]
  const script = printing(...lines, text('All\ndone.'), finish())
  const {observed, outcome} = await runToEnd(executor, request(script, {model: 'fake:x'}))
  expect(outcome).toMatchObject({status: 'completed', result: 'All\ndone.', error: null, sessionId: 'ses_1'})
  expect(outcome.usage).toMatchObject({input: 20, output: 4, cost: 1, model: 'fake/x'})
  expect(outcome.usage.duration_ms).toBeGreaterThanOrEqual(0)
  expect(observed.spawned).toHaveLength(1)
  expect(observed).toMatchObject({sessions: ['ses_1'], activities: ['write a.txt', 'All done.'], warnings: []})
  expect(observed.texts).toEqual(['All\ndone.'])
})

test('a text that is too long for a line is reported completely, up to a limit', async () => {
  const long = `Long ${'x'.repeat(100_000)}`
  const {observed} = await runToEnd(
    executor,
    request(printing(stepStart(), text('short'), text(long, 'msg_2'), finish())),
  )
  expect(observed.activities).toEqual(['short', expect.stringMatching(/^Long x{194}…$/)])
  expect(observed.texts).toEqual([long.slice(0, 4000)])
})

test('the agent’s streams are the run’s files, and only its owner can read them', async () => {
  const made = request('exec sleep 300')
  const {observer} = recordingObserver()
  const links: string[] = []
  const agent = await startRun(executor, made, {
    ...observer,
    onSpawned: ({pid}) => links.push(...[0, 1, 2].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))),
  })
  const names = ['prompt', 'stdout.ndjson', 'stderr.log']
  expect(links).toEqual(names.map((name) => join(made.runDir, name)))
  for (const name of names) expect(statSync(join(made.runDir, name)).mode & 0o777).toBe(0o600)
  expect(statSync(join(made.runDir, 'tmp')).mode & 0o777).toBe(0o700)
  agent.stop({status: 'cancelled', error: 'over'})
  await agent.outcome
})

test('the agent leads a group of its own and gets no more of our environment than it needs', async () => {
  const env = {PATH: process.env['PATH'], PWD: '/elsewhere', A2A_AUTH_TOKEN: 'token', SECRET: 's'}
  const made = request(`env > env.txt; ps -o pgid= -p $$ > group.txt; ${answering('ok')}`)
  const {observed} = await runToEnd(stubExecutor(scratch.path, {env}), made)
  const seen = readFileSync(join(made.cwd, 'env.txt'), 'utf8')
  expect(seen).toContain(`A2A_RUN=${made.marker}\n`)
  expect(seen).toContain(`PWD=${made.cwd}\n`)
  expect(seen).toContain(`TMPDIR=${join(made.runDir, 'tmp')}\n`)
  expect(seen).not.toMatch(/token|SECRET/)
  expect(Number(readFileSync(join(made.cwd, 'group.txt'), 'utf8'))).toBe(observed.spawned[0]?.pid)
})

test('if the disk was full during a run, the run fails for that reason, even if there is space again at its end', async () => {
  const cut = request(printing(stepStart()), {wasDiskFull: () => true})
  expect((await runToEnd(executor, cut)).outcome).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/^the disk is full: /),
  })
  const done = request(answering('done'), {wasDiskFull: () => true})
  expect((await runToEnd(executor, done)).outcome).toMatchObject({status: 'completed', error: null})
})

test('a prompt of one megabyte arrives unchanged', async () => {
  const prompt = `exec wc -c <<'END'\n${'é"\'\\$`\n'.repeat(100_000)}END\n`
  const made = request(prompt)
  await runToEnd(executor, made)
  expect(readFileSync(join(made.runDir, 'prompt'), 'utf8')).toBe(prompt)
  expect(readFileSync(join(made.runDir, 'stdout.ndjson'), 'utf8').trim()).toBe('800000')
})

describe('outcomes', () => {
  const outcomes: [title: string, script: string, expected: Partial<RunOutcome>][] = [
    ['an error fails the run', `${printing(error('APIError', 'bad key'))}exit 0`, {status: 'failed', error: 'bad key'}],
    [
      'an exit code of 1 after the final event does not fail the run',
      `${answering('ok')}exit 1`,
      {status: 'completed', result: 'ok'},
    ],
    ['nothing printed is a failure, explained by stderr', 'echo "no rg" >&2', {status: 'failed', error: 'no rg'}],
    ['prose between the events is ignored', `echo hello; ${answering('ok')}`, {status: 'completed', result: 'ok'}],
    ['a last line without its newline counts', `printf '%s' '${finish()}'`, {status: 'completed', result: null}],
  ]
  test.each(outcomes)('%s', async (_, script, expected) => {
    expect((await runToEnd(executor, request(script))).outcome).toMatchObject(expected)
  })

  test('an agent killed from outside fails with the name of the signal', async () => {
    const {observed, agent} = await started('exec sleep 300')
    process.kill(observed.spawned[0]?.pid ?? 0, 'SIGKILL')
    expect(await agent.outcome).toMatchObject({status: 'failed', error: expect.stringContaining('SIGKILL')})
  })

  test('output of 20 MB is read to its end, and a line of 9 MB does no harm', async () => {
    const script = `${printing(stepStart())}head -c 9000000 /dev/zero | tr '\\0' x; echo
      yes '${tool('read', {status: 'completed', output: 'y'.repeat(1000)})}' | head -n 10000; ${answering('end')}`
    expect((await runToEnd(executor, request(script))).outcome).toMatchObject({status: 'completed', result: 'end'})
  })

  test('if OpenCode used another agent than requested, the run has a warning', async () => {
    const script = `printf '\\033[93m! \\033[0m agent "x" not found. Falling back to default agent\\n' >&2; ${answering('ok')}`
    expect((await runToEnd(executor, request(script))).observed.warnings).toEqual([
      'agent "x" not found. Falling back to default agent',
    ])
  })
})

describe('before it starts', () => {
  const refused: [title: string, rest: object, code: string][] = [
    ['an unknown model', {model: 'fake/nope'}, 'UNKNOWN_MODEL'],
    ['an unknown agent', {agent: 'nope'}, 'UNKNOWN_AGENT'],
    ['a subagent', {agent: 'general'}, 'UNKNOWN_AGENT'],
    ['an agent that is a flag', {agent: '--auto'}, 'BAD_AGENT'],
    ['a session that is a path', {sessionId: '../x'}, 'BAD_SESSION'],
  ]
  test.each(refused)('%s is refused, and nothing is written', async (_, rest, code) => {
    const made = request('true', rest)
    await expect(runToEnd(executor, made)).rejects.toMatchObject({code})
    expect(readdirSync(made.runDir)).toEqual([])
  })

  test('a missing program is an error and leaves no files', async () => {
    const made = request('true')
    await expect(runToEnd(stubExecutor(scratch.path, {binary: '/nowhere/opencode'}), made)).rejects.toMatchObject({
      code: 'OPENCODE_NOT_FOUND',
    })
    expect(readdirSync(made.runDir)).toEqual([])
  })

  test('a missing codebase has an error of its own', async () => {
    const made = request('true', {cwd: join(scratch.path, 'vanishing')})
    rmSync(made.cwd, {recursive: true})
    await expect(runToEnd(executor, made)).rejects.toMatchObject({code: 'CODEBASE_MISSING'})
  })

  test('an environment that is too long is an error', async () => {
    const env = {PATH: process.env['PATH'], OPENCODE_CONFIG_CONTENT: 'x'.repeat(200_000)}
    await expect(runToEnd(stubExecutor(scratch.path, {env}), request('true'))).rejects.toThrow('environment')
  })

  test('a run folder that cannot be written is an error', async () => {
    await expect(runToEnd(executor, {...request('true'), runDir: '/proc/nowhere'})).rejects.toMatchObject({
      code: 'RUN_FILES',
      exitCode: 73,
    })
  })
})

describe('stopping', () => {
  const cancelled = {status: 'cancelled', error: 'Cancelled by a test'} as const

  test('ends the agent and all its processes, and gives the reason', async () => {
    const {request, agent} = await started(
      'nohup sleep 300 & setsid sleep 300 & sh -c "trap \'\' TERM; sleep 300" & wait',
    )
    await waitFor(() => processesOf(request.marker).length >= 4, 'its processes')
    agent.stop(cancelled)
    agent.stop({status: 'failed', error: 'a second reason'})
    expect(await agent.outcome).toMatchObject({...cancelled, sessionId: 'ses_1'})
    expect(processesOf(request.marker)).toEqual([])
  })

  test('does not change an earlier success', async () => {
    const {observed, agent} = await started(`${printing(text('ok'), finish())}exec sleep 300`)
    await waitFor(() => observed.activities.includes('ok'), 'the end of the task')
    agent.stop(cancelled)
    expect((await agent.outcome).status).toBe('completed')
    expect(observed.warnings).toHaveLength(1)
  })

  test('ends an agent that prints nothing within the startup time', async () => {
    const deadlines = {...relaxed, startup: 200}
    const {outcome} = await runToEnd(executor, request('exec sleep 300', {deadlines}))
    expect(outcome).toMatchObject({status: 'failed', error: expect.stringContaining('startup_timeout')})
  })

  test('ends an agent that falls silent, but not while its tool runs', async () => {
    const fast = stubExecutor(scratch.path, {clock: fastClock(10)})
    const deadlines = {...relaxed, startup: 0, idle: 3000, total: 0, tool: 600_000}
    const quiet = await started('kill -STOP $$', {deadlines}, fast)
    expect((await quiet.agent.outcome).error).toContain('idle_timeout')
    const busy = await started(`sleep 1; ${answering('ok')}`, {deadlines}, fast)
    expect((await busy.agent.outcome).status).toBe('completed')
  })
})

describe('a permission', () => {
  const asks = 'sleep 0.1; printf "\\033[93m! \\033[0m permission requested: bash (rm -rf x)%s\\n"'
  const clock = fastClock(50)
  const fast = stubExecutor(scratch.path, {clock})
  const unlimited = {startup: 0, idle: 0, tool: 0, total: 0, grace: 1000}

  test.each([' ', '; auto-rejecting'])('that an agent waits for is the reason to end it: “%s”', async (rest) => {
    const made = request(`${printing(stepStart())}${asks} '${rest}' >&2; kill -STOP $$`, {deadlines: unlimited})
    expect((await runToEnd(fast, made)).outcome).toMatchObject({
      status: 'failed',
      error: expect.stringMatching(/^stopped by a permission that nobody could give: bash \(rm -rf x\) ?; allow/),
    })
  })

  test('that was refused is no reason once another event has followed', async () => {
    const silent = 'until [ -e gone-on ]; do :; done' // no process that could count as a tool
    const script = `${printing(stepStart())}${asks} '; auto-rejecting' >&2; sleep 0.1; ${printing(text('without'))}${silent}; ${printing(finish())}`
    const {request: made, observed, agent} = await started(script, {cwd: join(scratch.path, 'refused')}, fast)
    await waitFor(() => observed.activities.includes('without'), 'the next event')
    const since = clock.monotonic()
    await waitFor(() => clock.monotonic() - since > 10_000, 'more than the time for a permission')
    writeFileSync(join(made.cwd, 'gone-on'), '')
    expect((await agent.outcome).status).toBe('completed')
  })
})

describe('orphans', () => {
  test('are ended after a success, too', async () => {
    const made = request(`setsid nohup sleep 300 > /dev/null 2>&1 & ${answering('ok')}`)
    expect((await runToEnd(executor, made)).outcome.status).toBe('completed')
    expect(processesOf(made.marker)).toEqual([])
  })

  test('are ended even without marker, group and parent, because they were known before', async () => {
    const script = `sh -c 'env -i setsid sleep 300 & echo $! > pid; sleep 2'; ${answering('ok')}`
    const made = request(script, {cwd: join(scratch.path, 'shedding')})
    const fast = stubExecutor(scratch.path, {clock: fastClock(10)})
    const {outcome} = await runToEnd(fast, {...made, deadlines: {...relaxed, idle: 0}})
    expect(outcome.status).toBe('completed')
    const pid = Number(readFileSync(join(made.cwd, 'pid'), 'utf8'))
    expect(readProcess(pid)?.state ?? 'Z').toBe('Z')
  })

  test('an agent that stays after its last event is ended, and its success counts', async () => {
    const fast = stubExecutor(scratch.path, {clock: fastClock(20)})
    const {observed, outcome} = await runToEnd(fast, request(`${answering('ok')}exec sleep 300`))
    expect(outcome).toMatchObject({status: 'completed', result: 'ok'})
    expect(observed.warnings).toEqual([expect.stringContaining('did not exit within 10 s')])
  })
})

describe('a locked database', () => {
  const locked = (then: string) =>
    `test -e "$TMPDIR/again" || { touch "$TMPDIR/again"; echo "SQLiteError: database is locked" >&2; exit 1; }; ${then}`
  const fast = stubExecutor(scratch.path, {clock: fastClock(10)})

  test('is retried', async () => {
    const {observed, outcome} = await runToEnd(fast, request(locked(answering('ok'))))
    expect(outcome).toMatchObject({status: 'completed', result: 'ok'})
    expect(observed.spawned).toHaveLength(2)
    expect(observed.warnings).toHaveLength(1)
  })

  test('is retried while another process creates it', async () => {
    const made = request(
      `test -e "$TMPDIR/again" && { ${answering('ok')}exit; }; touch "$TMPDIR/again"; echo 'Failed query: CREATE TABLE x' >&2; exit 1`,
    )
    const {outcome} = await runToEnd(fast, made)
    expect(outcome).toMatchObject({status: 'completed', result: 'ok'})
  })

  test('is not retried forever', async () => {
    const made = request('echo "database is locked" >&2; exit 1')
    const {observed, outcome} = await runToEnd(fast, made)
    expect(outcome).toMatchObject({status: 'failed', error: 'database is locked'})
    expect(observed.spawned).toHaveLength(4)
  })

  test('is not retried once the task has begun', async () => {
    const {observed} = await runToEnd(fast, request(`${printing(stepStart())}echo "database is locked" >&2; exit 1`))
    expect(observed.spawned).toHaveLength(1)
  })
})

describe('a run started by an earlier worker', () => {
  const adopt = (made: ReturnType<typeof request>, root: {pid: number; startTime: string}) => {
    const {observed, observer} = recordingObserver()
    const agent = adoptRun({request: made, observer, clock: systemClock, root})
    return {observed, agent}
  }

  test('is supervised to its end', async () => {
    const first = await started(`while ! test -e go; do sleep 0.05; done; ${printing(text('late'), finish())}`, {
      cwd: join(scratch.path, 'adopted'),
    })
    const root = first.observed.spawned[0] ?? {pid: 0, startTime: ''}
    await waitFor(() => ageMs(root) >= 100, 'it to be a while old')
    const {agent, observed} = adopt(first.request, root)
    await waitFor(() => observed.sessions.length > 0, 'the event that was there before')
    writeFileSync(join(first.request.cwd, 'go'), '')
    expect(await agent.outcome).toMatchObject({status: 'completed', result: 'late', sessionId: 'ses_1'})
    expect((await agent.outcome).usage.duration_ms).toBeGreaterThanOrEqual(100)
    await first.agent.outcome
  })

  test('is judged by its output if it has ended', async () => {
    const made = request(answering('ok'))
    const {observed} = await runToEnd(executor, made)
    const root = observed.spawned[0] ?? {pid: 0, startTime: ''}
    expect(isAlive(root)).toBe(false)
    expect(await adopt(made, root).agent.outcome).toMatchObject({status: 'completed', result: 'ok'})
  })

  test('fails if its spool is missing', async () => {
    const made = request('true')
    expect(existsSync(join(made.runDir, 'stdout.ndjson'))).toBe(false)
    await using young = shell('exec sleep 300') // a run that began earlier would be over its time
    const outcome = await adopt(made, {...young.root, pid: 2 ** 30}).agent.outcome
    expect(outcome).toMatchObject({status: 'failed', error: expect.stringContaining('could not be read')})
  })
})
