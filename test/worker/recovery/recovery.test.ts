import {spawn} from 'node:child_process'
import {existsSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'
import {expect, test} from 'vitest'
import type {StatusReport} from '../../../src/commands/status.ts'
import type {ProcessIdentity} from '../../../src/lib/executor/processes/processes.ts'
import {identify, isAlive, readProcess} from '../../../src/lib/executor/processes/processes.ts'
import {Journal} from '../../../src/lib/journal/journal.ts'
import {markerOwner} from '../../../src/lib/worker/run/marker.ts'
import {answering, printing, stepStart, text} from '../../support/agent-lines.ts'
import {stop, stubAgent} from '../../support/cli.ts'
import type {FleetOptions} from '../../support/fleet.ts'
import {startOneWorker} from '../../support/one-worker.ts'
import {until} from '../../support/scratch.ts'
import {says} from '../../support/workshop.ts'

/** Starts worker processes one after the other, with helpers for the time between them. */
async function setUp(env: Record<string, string> = {}, options: FleetOptions = {}) {
  const at = await startOneWorker({...options, env})
  let {worker} = at
  const workerId = JSON.parse(readFileSync(join(at.path, 'state/workers/w/identity.json'), 'utf8')).worker_id as string
  return {
    ...at,
    workerId,
    journal: join(at.path, 'state/workers/w/journal.db'),
    kill: () => stop(worker, 'SIGKILL'),
    restart: async () => {
      worker = await at.startWorker()
      return worker
    },
    /** The active tasks that the worker reports. */
    shown: async () => (JSON.parse((await at.cli(['status', '--json'])).stdout) as StatusReport).local[0]?.tasks ?? [],
    /** Resolves when the server has received this output. */
    printed: (id: string, what: string) => until(async () => (await at.output(id)).includes(what), what),
  }
}

/** Edits the journal while the worker does not run. */
function edit(file: string, sql: string): void {
  const database = new DatabaseSync(file)
  database.exec(sql)
  database.close()
}

/** The agent that runs in the working tree. */
const agentOf = (path: string): ProcessIdentity => {
  const {pid, start_time: startTime} = JSON.parse(readFileSync(join(path, 'p/.git/a2a-worker.lock'), 'utf8'))
  return {pid, startTime}
}

/** A task whose worker is killed while it runs, and whose agent ends afterwards. */
async function taskEndedWithoutWorker(at: Awaited<ReturnType<typeof setUp>>): Promise<string> {
  const id = await at.begin(inTwoParts('go'))
  await at.printed(id, 'first')
  const agent = agentOf(at.path)
  await at.kill()
  spawn('touch', [join(at.path, 'p/go')])
  await until(() => !isAlive(agent), 'the agent to end')
  return id
}

/** Prints, waits for a file of that name in the codebase, then finishes. */
const inTwoParts = (name: string) =>
  `${printing(stepStart(), text('first'))}echo run >> runs; until [ -e ${name} ]; do sleep 0.02; done; ${answering('second')}`

/** Kills the worker, and then the agent, while the agent runs this script. Returns the id of the task. */
async function beginAndKillAll(
  at: Awaited<ReturnType<typeof setUp>>,
  script = `${printing(stepStart())}exec sleep 600`,
): Promise<string> {
  const id = await at.begin(script)
  await at.printed(id, 'step_start')
  const {pid} = agentOf(at.path)
  await at.kill()
  process.kill(pid, 'SIGKILL')
  return id
}

test('an agent continues while its worker is dead, and the next worker adopts it: run once, output complete', async () => {
  await using at = await setUp()
  const id = await at.begin(inTwoParts('go'))
  await at.printed(id, 'first')
  await at.kill()
  const worker = await at.restart()
  expect(worker.stderr()).toContain('Going on with a run whose agent is at work')
  expect((await at.http.get(id)).status).toBe('running')
  const next = await at.http.task(at.codebase, {prompt: answering('next')}) // its working tree is busy, so it waits
  spawn('touch', [join(at.path, 'p/go')])
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'first\nsecond'})
  expect(readFileSync(join(at.path, 'p/runs'), 'utf8')).toBe('run\n')
  expect((await at.output(id)).trim().split('\n')).toHaveLength(5)
  expect((await at.ended(next.id)).status).toBe('completed')
})

test('an adopted run is shown with its task and its start time; a requeued run is no longer shown', async () => {
  await using at = await setUp({A2A_ON_INTERRUPT: 'requeue'})
  const id = await at.begin(inTwoParts('go'))
  await at.printed(id, 'first')
  const [before] = await at.shown()
  await at.kill()
  await at.restart()
  const pid = agentOf(at.path).pid
  expect(
    await until(async () => (await at.shown()).find(({lines}) => lines.items.length > 0), 'its output'),
  ).toMatchObject({
    id,
    phase: 'running',
    pid,
    session_id: 'ses_1',
    lines: {items: ['first']},
  })
  expect(Math.abs(((await at.shown())[0]?.since ?? 0) - (before?.since ?? 0))).toBeLessThan(1000)
  await at.kill()
  process.kill(pid, 'SIGKILL')
  await at.restart()
  await until(async () => (await at.shown()).every(({attempt}) => attempt === 2), 'the first attempt to be given back')
})

test('an agent that is older than its startup time, and has printed, is adopted like any other', async () => {
  await using at = await setUp({A2A_STARTUP_TIMEOUT: '1'})
  const begunAt = performance.now()
  const id = await at.begin(inTwoParts('go'))
  await at.printed(id, 'first')
  await at.kill()
  await until(() => performance.now() - begunAt > 1500, 'the agent to be older')
  await at.restart()
  spawn('touch', [join(at.path, 'p/go')])
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'first\nsecond'})
})

test('a run that ended while its worker was dead is judged by its output', async () => {
  await using at = await setUp()
  const id = await taskEndedWithoutWorker(at)
  await at.restart()
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'first\nsecond'})
  expect((await at.output(id)).trim().split('\n')).toHaveLength(5)
})

test('an agent that died with its worker is continued in its session and its spool', async () => {
  await using at = await setUp({OPENCODE_BIN_PATH: stubAgent})
  const id = await at.begin('@lines=20 @hang')
  await at.printed(id, 'line 19')
  const {pid} = agentOf(at.path)
  await at.kill()
  process.kill(pid, 'SIGKILL')
  const worker = await at.restart()
  await says(worker, 'Continuing a run whose agent died with the worker')
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'line 0', usage: {input: 10}})
  const starts = readFileSync(join(at.path, 'agent.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as {at: string; args: string[]; prompt: string})
    .filter((entry) => entry.at === 'start')
  expect(starts).toHaveLength(2)
  expect(starts[1]?.args.join(' ')).toContain(`--session ses_stub${pid}`)
  expect(starts[1]?.prompt).toMatch(/was interrupted/)
  expect((await at.output(id)).trim().split('\n')).toHaveLength(21 + 3)
})

test('a run that the control plane does not wait for any more is not continued', async () => {
  await using at = await setUp({OPENCODE_BIN_PATH: stubAgent})
  const id = await beginAndKillAll(at, '@lines=20 @hang')
  // The report of the killed worker arrived, but the disk was too full to store that.
  const report = {status: 'failed', worker_id: at.workerId, attempt: 1, error: 'the disk is full'}
  expect((await at.http.call('PUT', `/v1/opencode/tasks/${id}/status`, report)).status).toBe(200)
  const worker = await at.restart()
  await says(worker, 'does not wait for this run any more')
  expect(worker.stderr()).not.toContain('Continuing a run')
  expect(readFileSync(join(at.path, 'agent.log'), 'utf8').match(/"at":"start"/g)).toHaveLength(1)
  expect(await at.ended(id)).toMatchObject({status: 'failed', error: 'the disk is full'})
})

test('a run that dies each time is not continued forever', async () => {
  await using at = await setUp({OPENCODE_BIN_PATH: stubAgent, A2A_MAX_ATTEMPTS: '1'})
  const id = await at.begin('@hang')
  await at.printed(id, 'line 0')
  const {pid} = agentOf(at.path)
  await at.kill()
  process.kill(pid, 'SIGKILL')
  await at.restart()
  expect(await at.ended(id)).toMatchObject({status: 'failed', error: expect.stringMatching(/for the 1\. time/)})
})

test('on_interrupt: requeue starts the next attempt, fail reports the reason, and attempts are counted', async () => {
  await using at = await setUp({A2A_ON_INTERRUPT: 'requeue'})
  const once = `[ -e began ] && { ${answering('again')}exit; }; touch began; ${printing(stepStart())}exec sleep 600`
  const id = await beginAndKillAll(at, once)
  await at.restart()
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 2, result: 'again'})

  await using other = await setUp({A2A_ON_INTERRUPT: 'fail'})
  const failed = await beginAndKillAll(other)
  await other.restart()
  expect(await other.ended(failed)).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(/the worker was ended while the task ran/),
  })
})

test('a crash between journal row and spawn is detected: nothing ran, so the run starts again', async () => {
  await using at = await setUp()
  await at.kill()
  const {id} = await at.http.task(at.codebase, {prompt: answering('done')})
  expect((await at.http.claim(at.workerId, id)).status).toBe(200)
  {
    using journal = await Journal.open(at.journal)
    const run = {task_id: id, attempt: 1, title: 't', path: join(at.path, 'p'), run_dir: join(at.path, 'runs', id, '1')}
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const about = {agent: 'build', model: null, codebase_id: at.codebase, started_at: Date.now()}
    journal.begin({...run, ...about, marker: `${at.workerId}:${id}:1`, boot_id: boot})
  }
  await at.restart()
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 2, result: 'done'})
})

test('a crash between spawn and storing its pid is detected by the marker: the agent is adopted', async () => {
  await using at = await setUp()
  const id = await at.begin(inTwoParts('go'))
  await at.printed(id, 'first')
  await at.kill()
  edit(at.journal, 'UPDATE runs SET pid = NULL, start_time = NULL')
  await at.restart()
  spawn('touch', [join(at.path, 'p/go')])
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'first\nsecond'})
  expect(readFileSync(join(at.path, 'p/runs'), 'utf8')).toBe('run\n')
})

test('output that the server has and the journal does not know is not sent twice, and the rest is sent', async () => {
  await using at = await setUp()
  const id = await at.begin(inTwoParts('go'))
  await at.printed(id, 'first')
  await at.kill()
  edit(at.journal, 'UPDATE runs SET cursor = 0')
  spawn('touch', [join(at.path, 'p/go')])
  await at.restart()
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  const spool = readFileSync(join(at.path, `state/workers/w/runs/${id}/1/stdout.ndjson`), 'utf8')
  expect(await at.output(id)).toBe(spool)
})

test('the output of a run that ended without a worker is uploaded completely by the next worker', async () => {
  await using at = await setUp({}, {isPlaneProcess: true})
  const id = await at.begin(inTwoParts('go'))
  await at.printed(id, 'first')
  await at.killPlane()
  spawn('touch', [join(at.path, 'p/go')])
  await until(async () => (await at.shown())[0]?.phase === 'reporting', 'the report to be under way')
  await at.kill()
  await at.restartPlane()
  await at.restart()
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  const spool = readFileSync(join(at.path, `state/workers/w/runs/${id}/1/stdout.ndjson`), 'utf8')
  expect(await at.output(id)).toBe(spool)
})

test('a worker that restarts without a control plane supervises its agents within their time limits', async () => {
  await using at = await setUp({A2A_TASK_TIMEOUT: '4'}, {isPlaneProcess: true})
  const id = await at.begin(`${printing(stepStart())}exec sleep 600`)
  await at.printed(id, 'step_start')
  const agent = agentOf(at.path)
  await at.killPlane()
  await at.kill()
  const worker = at.start(['start', '--name', 'w', '--codebase', join(at.path, 'p')])
  await says(worker, 'Going on with a run whose agent is at work')
  await until(() => !isAlive(agent), 'the agent to be ended')
  await at.restartPlane()
  expect(await at.ended(id)).toMatchObject({status: 'failed', error: expect.stringContaining('task_timeout')})
})

test('an adopted run can be cancelled, and leaves no process', async () => {
  await using at = await setUp()
  const id = await at.begin(`${printing(stepStart())}setsid sleep 601 & exec sleep 600`)
  await at.printed(id, 'step_start')
  const agent = agentOf(at.path)
  await at.kill()
  await at.restart()
  expect((await at.cli(['tasks', 'cancel', id, '--wait'])).code).toBe(0)
  expect(isAlive(agent)).toBe(false)
  expect((await at.http.get(id)).status).toBe('cancelled')
})

test('a pid that another process has reused is never signalled', async () => {
  await using at = await setUp({A2A_ON_INTERRUPT: 'fail'})
  const id = await beginAndKillAll(at)
  const stranger = spawn('sleep', ['600'], {detached: true})
  edit(at.journal, `UPDATE runs SET pid = ${stranger.pid}`)
  await at.restart()
  expect((await at.ended(id)).status).toBe('failed')
  expect(readProcess(stranger.pid ?? 0)?.state).toBe('S')
  stranger.kill('SIGKILL')
})

test('orphans of this worker without a run are ended, those of another worker are not', async () => {
  await using at = await setUp()
  await at.kill()
  const left = (marker: string) => {
    const child = spawn('sleep', ['600'], {env: {PATH: process.env['PATH'], A2A_RUN: marker}})
    return {child, identity: identify(child.pid ?? 0)}
  }
  const owner = markerOwner(at.workerId, dirname(at.journal))
  const ours = left(`${owner}:gone:1`)
  const theirs = left(`another:${at.workerId}:1`)
  // The same id, with another state directory.
  const namesake = left(`${at.workerId}@1-2:gone:1`)
  await at.restart()
  await until(() => !isAlive(ours.identity), 'the orphan to end')
  expect(isAlive(theirs.identity)).toBe(true)
  expect(isAlive(namesake.identity)).toBe(true)
  theirs.child.kill('SIGKILL')
  namesake.child.kill('SIGKILL')
})

test('a damaged journal is renamed: the worker starts, ends orphans, and the task starts again', async () => {
  await using at = await setUp()
  const id = await at.begin(
    `[ -e began ] && { ${answering('again')}exit; }; touch began; echo run >> runs; exec sleep 600`,
  )
  await until(() => existsSync(join(at.path, 'p/runs')), 'the agent to begin')
  await until(async () => (await at.http.get(id)).status === 'running', 'the confirmation')
  const agent = agentOf(at.path)
  await at.kill()
  rmSync(`${at.journal}-wal`) // otherwise the write-ahead log would restore everything
  writeFileSync(at.journal, 'no database at all '.repeat(1000))
  const worker = await at.restart()
  expect(worker.stderr()).toMatch(
    /The journal of this worker is damaged \(.*\)\. It was moved to .*journal\.db\.broken-/,
  )
  expect(readdirSync(dirname(at.journal)).some((name) => /^journal\.db\.broken-[\dTZ-]+$/.test(name))).toBe(true)
  await until(() => !isAlive(agent), 'what the lost run has left to end')
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 2, result: 'again'})
})

test("a damaged report is rebuilt from the agent's output; a cursor beyond the spool is ignored", async () => {
  await using at = await setUp()
  const id = await taskEndedWithoutWorker(at)
  edit(at.journal, `UPDATE runs SET report = '{"status":"compl', cursor = 1000000`)
  await at.restart()
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'first\nsecond'})
  expect((await at.output(id)).trim().split('\n')).toHaveLength(5)
})

test('a damaged row is removed, and affects no folder or process of others', async () => {
  await using at = await setUp()
  const id = await at.begin(`[ -e began ] && { ${answering('again')}exit; }; touch began; exec sleep 600`)
  await until(() => existsSync(join(at.path, 'p/began')), 'the agent to begin')
  await until(async () => (await at.http.get(id)).status === 'running', 'the confirmation')
  await at.kill()
  edit(at.journal, `UPDATE runs SET run_dir = '/'`)
  const worker = await at.restart()
  expect(worker.stderr()).toContain(`The journal entry of task ${id} is damaged`)
  expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 2, result: 'again'})
})
