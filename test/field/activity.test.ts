import {join} from 'node:path'
import {afterAll, describe, expect, test} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import {adoptRun} from '../../src/lib/executor/adopt.ts'
import type {ProcessIdentity} from '../../src/lib/executor/processes/processes.ts'
import {answering, finish, printing, stepStart, text, tool} from '../support/agent-lines.ts'
import {recordingObserver, relaxed, requestFor, runToEnd, startRun} from '../support/agent-run.ts'
import {startOpenCodeFleet} from '../support/opencode-fleet.ts'
import {repository, scratchFolder} from '../support/scratch.ts'
import {stubExecutor} from '../support/stub-executor.ts'
import {waitFor} from '../support/wait-for.ts'

const scratch = scratchFolder()
const executor = stubExecutor(scratch.path)
afterAll(() => scratch[Symbol.dispose]())

const run = (script: string, deadlines: Partial<typeof relaxed>) =>
  runToEnd(executor, requestFor(scratch.path, script, {deadlines: {...relaxed, ...deadlines}}))

describe('before its first event', () => {
  const forThreeSeconds = 'end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do :; done'

  test('an agent whose child computes is not ended', async () => {
    const {outcome} = await run(`sh -c '${forThreeSeconds}'; ${answering('ok')}`, {startup: 1500})
    expect(outcome).toMatchObject({status: 'completed', result: 'ok'})
  })

  test('an agent whose child reads and writes is not ended', async () => {
    const copying = 'for i in 1 2 3 4 5 6 7 8 9; do dd if=/dev/zero of=/dev/null bs=64k count=20 2>&-; sleep 0.3; done'
    const {outcome} = await run(`sh -c '${copying}'; ${answering('ok')}`, {startup: 1500})
    expect(outcome).toMatchObject({status: 'completed', result: 'ok'})
  })

  test('an agent that only waits is ended, and the error names what it waits for', async () => {
    const {outcome} = await run('sleep 299; true', {startup: 1500})
    expect(outcome).toMatchObject({
      status: 'failed',
      error: expect.stringMatching(/startup_timeout\); its processes: sleep 299$/),
    })
  })
})

describe('a background process that an ended tool call has left', () => {
  const left = `${printing(stepStart())}sleep 298 & sleep 0.5; ${printing(tool('bash', {status: 'completed'}), finish('tool-calls'))}`

  test('does not keep an agent whose model hangs', async () => {
    const {outcome} = await run(`${left}exec sleep 300`, {idle: 1500})
    expect(outcome).toMatchObject({status: 'failed', error: expect.stringContaining('1.5 s (idle_timeout)')})
  })

  test('does not keep an adopted agent either, but a process of an open call does', async () => {
    const adopted = async (script: string) => {
      const request = requestFor(scratch.path, script)
      const {observed, observer} = recordingObserver()
      const first = await startRun(executor, request, observer)
      await waitFor(() => observed.activities.includes('bash'), 'the end of the call')
      const root = observed.spawned[0] as ProcessIdentity
      const deadlines = {...relaxed, idle: 1500, tool: 3000}
      const agent = adoptRun({
        request: {...request, deadlines},
        observer: recordingObserver().observer,
        clock: systemClock,
        root,
      })
      const {error} = await agent.outcome
      await first.outcome
      return error
    }
    expect(await adopted(`${left}exec sleep 300`)).toContain('idle_timeout')
    expect(await adopted(`${left}sleep 0.3; sleep 297; true`)).toContain('tool_timeout')
  })
})

test('an agent that died of a signal has not completed its task, whatever its last line says', async () => {
  const died = await run(`${answering('ok')}kill -9 $$`, {})
  expect(died.outcome).toMatchObject({status: 'failed', error: expect.stringContaining('died of SIGKILL')})
  const wrapped = await run(`${answering('ok')}sh -c 'kill -11 $$'; exit $?`, {})
  expect(wrapped.outcome).toMatchObject({status: 'failed', error: expect.stringContaining('died of SIGSEGV')})
  const failed = await run(`${answering('ok')}exit 1`, {})
  expect(failed.outcome).toMatchObject({status: 'completed', result: 'ok'})
})

test('a touch of the report of OpenCode shows that it works', async () => {
  const made = requestFor(scratch.path, '', {deadlines: {...relaxed, idle: 1500}})
  const path = join(made.runDir, 'report.ndjson')
  const working = `echo '{"at":1,"type":"started"}' > '${path}'; for i in 1 2 3 4 5 6; do touch '${path}'; sleep 0.5; done`
  const prompt = `${printing(stepStart())}${working}; ${printing(text('ok'), finish())}`
  const {outcome} = await runToEnd(executor, {...made, prompt})
  expect(outcome).toMatchObject({status: 'completed', result: 'ok'})
})

describe('with the real OpenCode', () => {
  test('a subagent that works keeps its parent, and a background process keeps nothing', async () => {
    await using fleet = await startOpenCodeFleet({A2A_IDLE_TIMEOUT: '4'})
    const path = repository(join(fleet.path, 'one'))
    await fleet.worker('w', [path])
    const codebase = await fleet.codebaseId(path)
    const end = async (prompt: string) => fleet.ended((await fleet.http.task(codebase, {prompt})).id)
    expect(await end('[fake:task prompt="[fake:slow tokens=70 every_ms=100]"]')).toMatchObject({
      status: 'completed',
      result: 'Done.',
    })
    expect(await end('[fake:bash cmd="sleep 296 > /dev/null 2>&1 & sleep 1"] [fake:hang]')).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('OpenCode printed nothing for 4 s (idle_timeout)'),
    })
  }, 180_000)

  test('a subagent and a refusal are seen in the log where our plugin is not loaded', async () => {
    await using fleet = await startOpenCodeFleet({
      A2A_IDLE_TIMEOUT: '4',
      OPENCODE_PURE: '1',
      A2A_MAX_PROVIDER_WAIT: '3',
    })
    const path = repository(join(fleet.path, 'one'))
    await fleet.worker('w', [path])
    const codebase = await fleet.codebaseId(path)
    const end = async (prompt: string) => fleet.ended((await fleet.http.task(codebase, {prompt})).id)
    const steps = '[fake:read path=a delay_ms=2500][fake:read path=b delay_ms=2500][fake:text say=x delay_ms=2500]'
    expect(await end(`[fake:task prompt="${steps}"]`)).toMatchObject({status: 'completed', result: 'Done.'})
    expect(await end('[fake:error status=429 retry_after=86400 say="Come back tomorrow."]')).toMatchObject({
      status: 'failed',
      error: expect.stringMatching(
        /^Come back tomorrow\. \(the provider fake has refused since .*max_provider_wait is 3 s\)$/,
      ),
    })
  }, 180_000)

  test('a permission that a subagent asks for is named, because its request reaches nobody', async () => {
    await using fleet = await startOpenCodeFleet({A2A_PERMISSIONS: '{"bash":"ask"}', A2A_WARM_AGENTS: '0'})
    const path = repository(join(fleet.path, 'one'))
    await fleet.worker('w', [path])
    const {id} = await fleet.http.task(await fleet.codebaseId(path), {
      prompt: '[fake:task prompt="[fake:bash cmd=date]"]',
    })
    expect(await fleet.ended(id)).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('a permission that nobody could give: bash date (asked by a subagent)'),
    })
  }, 60_000)
})
