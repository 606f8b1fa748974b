import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterEach, describe, expect, test} from 'vitest'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {adoptRun} from '../../../src/lib/executor/adopt.ts'
import {isAlive} from '../../../src/lib/executor/processes/processes.ts'
import {createWarmExecutor} from '../../../src/lib/executor/warm/warm-executor.ts'
import {WarmPool} from '../../../src/lib/executor/warm/warm-pool.ts'
import {scriptedWay} from '../../support/acp-agent.ts'
import {fastClock} from '../../support/fast-clock.ts'
import {processesOf, recordingObserver, requestFor, startRun} from '../../support/agent-run.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {waitFor} from '../../support/wait-for.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

function setUp({size = 1, allow = [] as string[], env = {} as Record<string, string>, clock = systemClock} = {}) {
  const scratch = scratchFolder()
  const pool = new WarmPool({clock, size, graceMs: 200})
  cleanups.push(
    () => pool.close(),
    () => scratch[Symbol.dispose](),
  )
  const executor = createWarmExecutor(scriptedWay(), {
    launch: {env: {PATH: process.env['PATH'], HOME: scratch.path, ...env}, allow, clock},
    ...{agentsDir: join(scratch.path, 'agents'), markerOwner: 'worker@1-2', pool},
    policy: {permissions: 'allow', askMs: 0},
  })
  const run = async (prompt: string, rest = {}) => {
    const {observed, observer} = recordingObserver()
    const made = requestFor(scratch.path, prompt, rest)
    const outcome = await (await startRun(executor, made, observer)).outcome
    return {made, observed, outcome, pid: observed.spawned[0]!.pid}
  }
  return {scratch, pool, executor, run}
}

describe('a process runs the tasks of a codebase one after the other', () => {
  test('each in a session of its own, with its own output', async () => {
    const {run, pool} = setUp()
    const first = await run('tool read one\ntext first\nusage 5 6')
    const second = await run('text second')
    expect(second.pid).toBe(first.pid)
    expect([first.outcome, second.outcome]).toMatchObject([
      {status: 'completed', result: 'first', usage: {input: 5}},
      {status: 'completed', result: 'second', usage: {input: 0}},
    ])
    expect(second.outcome.sessionId).not.toBe(first.outcome.sessionId)
    expect(readFileSync(join(second.made.runDir, 'stdout.ndjson'), 'utf8')).not.toContain('first')
    await pool.close()
    expect(processesOf(pool.idle[0]?.marker ?? 'none')).toEqual([])
  })

  test('but not those of another codebase, nor after its configuration has changed', async () => {
    const {run, scratch, pool} = setUp({size: 2})
    const first = await run('text one')
    const other = await run('text two', {cwd: join(scratch.path, 'other')})
    expect(other.pid).not.toBe(first.pid)
    expect(pool.idle).toHaveLength(2)
    writeFileSync(join(scratch.path, 'codebase', 'AGENTS.md'), 'Be brief.')
    const changed = await run('text three')
    expect(changed.pid).not.toBe(first.pid)
    await waitFor(() => !isAlive(first.observed.spawned[0]!), 'the outdated agent to end')
  })

  test('only as many wait as may', async () => {
    const {run, scratch, pool} = setUp({size: 1})
    const first = await run('text one')
    await run('text two', {cwd: join(scratch.path, 'other')})
    expect(pool.idle).toHaveLength(1)
    await waitFor(() => !isAlive(first.observed.spawned[0]!), 'the older agent to end')
  })
})

describe('an agent does not stay', () => {
  test.each(['fail -32603 broken', 'die', 'stop refusal'])('after a task that failed: %s', async (script) => {
    const {run, pool} = setUp()
    const {outcome, observed} = await run(`text a\n${script}`)
    expect(outcome.status).toBe('failed')
    expect(pool.idle).toHaveLength(0)
    expect(isAlive(observed.spawned[0]!)).toBe(false)
  })

  test('after a cancellation', async () => {
    const {scratch, executor, pool} = setUp()
    const {observed, observer} = recordingObserver()
    const agent = await startRun(executor, requestFor(scratch.path, 'tool read a\nforever'), observer)
    await waitFor(() => observed.activities.length > 0, 'the first tool call')
    agent.stop({status: 'cancelled', error: 'by a person'})
    expect((await agent.outcome).status).toBe('cancelled')
    expect(pool.idle).toHaveLength(0)
    expect(isAlive(observed.spawned[0]!)).toBe(false)
  })

  test('when none may wait; its folder is removed, and what it said on stderr stays with the run', async () => {
    const {run, scratch, pool} = setUp({size: 0})
    const {made, observed} = await run('text a')
    expect(pool.idle).toHaveLength(0)
    expect(isAlive(observed.spawned[0]!)).toBe(false)
    expect(readdirSync(join(scratch.path, 'agents'))).toEqual([])
    expect(existsSync(join(made.runDir, 'stderr.log'))).toBe(true)
  })
})

test('what a task has left running is ended, and the agent stays', async () => {
  const {run, pool} = setUp()
  const first = await run('shell setsid sleep 300 & echo $! > pid\ntext done')
  const pid = Number(readFileSync(join(first.made.cwd, 'pid'), 'utf8'))
  expect(pid).toBeGreaterThan(0)
  expect(processesOf(pool.idle[0]!.marker)).toEqual([first.pid])
  expect((await run('text again')).pid).toBe(first.pid)
})

test('a task that did not begin gives its agent back', async () => {
  const {run, scratch, executor, pool} = setUp()
  const first = await run('text one')
  const prepared = await executor.prepare(requestFor(scratch.path, 'text two'))
  expect([prepared.marker, pool.idle.length]).toEqual([expect.stringMatching(/^worker@1-2:agent-[0-9a-f]{16}:0$/), 0])
  prepared.discard()
  expect((await run('text three')).pid).toBe(first.pid)
})

test('an agent whose database was busy is started again, with the marker that the journal has', async () => {
  const {run, pool} = setUp({env: {ACP_BEHAVIOUR: 'busy-once'}, clock: fastClock(10)})
  const {outcome, observed} = await run('text done')
  expect(outcome).toMatchObject({status: 'completed', result: 'done'})
  expect([observed.spawned.length, observed.warnings.length]).toEqual([2, 1])
  const [agent] = pool.idle
  expect(processesOf(agent!.marker)).toEqual([observed.spawned[1]!.pid])
  expect((await run('text more')).pid).toBe(agent!.root.pid)
})

test('another worker process goes on with a task in a process that ran others before', async () => {
  const {run, scratch, executor} = setUp()
  await run('tool read zero\ntext before')
  const {observed, observer} = recordingObserver()
  const made = requestFor(scratch.path, 'tool read one\npermission p edit\nsleep 300\ntext the end')
  const prepared = await executor.prepare(made)
  const agent = await prepared.start(observer)
  await waitFor(() => observed.activities.length > 0, 'the first tool call')
  const second = recordingObserver()
  const root = observed.spawned[0]!
  const adopted = adoptRun({
    request: {...made, marker: prepared.marker ?? ''},
    observer: second.observer,
    clock: systemClock,
    root,
  })
  const [, outcome] = await Promise.all([agent.outcome, adopted.outcome])
  expect(outcome).toMatchObject({status: 'completed', result: expect.stringContaining('the end')})
  expect(second.observed.activities).not.toContain('read zero')
})
