import {chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname} from 'node:path'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {isFinal} from '../../src/lib/protocol/schemas.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {processesOf} from '../support/opencode-fleet.ts'
import {bootProblem} from '../support/private-systemd/boot.ts'
import {reportSkipped, startPrivateMachine, timeoutMs, unit} from '../support/private-systemd/private-machine.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'

const isSkipped = reportSkipped('a service that runs out of memory', bootProblem())

describe.skipIf(isSkipped)('a service that runs out of memory', {timeout: 2 * timeoutMs}, () => {
  let place: Awaited<ReturnType<typeof startPrivateMachine>>
  const codebase = '/home/dev/app'
  const stub = '/home/dev/bin/opencode'

  beforeAll(async () => {
    place = await startPrivateMachine()
    const outside = (path: string) => place.systemd.outside(path)
    repository(outside(codebase))
    mkdirSync(dirname(outside(stub)), {recursive: true})
    copyFileSync(stubBinary, outside(stub))
    chmodSync(outside(stub), 0o755)
    const dropIn = outside(`/etc/systemd/system/${unit}.service.d/test.conf`)
    mkdirSync(dirname(dropIn), {recursive: true})
    writeFileSync(dropIn, '[Service]\nMemoryMax=400M\n')
    const args = ['--server', place.fleet.url, '--codebase', codebase, '--opencode', stub, '--start']
    expect(await place.program('install-service', ...args)).toMatchObject({code: 0})
  }, 2 * timeoutMs)
  afterAll(() => place?.[Symbol.asyncDispose]())

  const begin = async (prompt: string) => (await place.fleet.http.task(await place.codebaseId(codebase), {prompt})).id
  const ended = (id: string) =>
    until(
      async () => {
        const task = await place.fleet.http.get(id)
        return isFinal(task.status) ? task : undefined
      },
      `task ${id} to end`,
      timeoutMs,
    )
  /** How many processes of the service the kernel has killed for memory. */
  const memoryKills = async () => {
    const group = await place.property('ControlGroup')
    const files = [`/sys/fs/cgroup/memory${group}/memory.oom_control`, `/sys/fs/cgroup${group}/memory.events`]
    const {stdout} = await place.systemd.run(['sh', '-c', `cat ${files.join(' ')}`])
    return Number(/^oom_kill (\d+)$/m.exec(stdout)?.[1])
  }
  const scoreOf = (pid: string) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'))

  test('an agent that uses up MemoryMax fails with "out of memory", and the worker goes on', async () => {
    const before = await place.property('MainPID')
    const greedy = await begin(`${printing(stepStart())}exec tail /dev/zero\n`)
    expect(await ended(greedy)).toMatchObject({
      status: 'failed',
      error: expect.stringMatching(/^out of memory: .*MemoryMax/),
    })
    expect(await ended(await begin(answering('next')))).toMatchObject({status: 'completed', result: 'next'})
    expect(await place.property('MainPID')).toBe(before)
    expect(await place.property('NRestarts')).toBe('0')
  })

  test('the kernel kills tools of an agent rather than the larger worker, and the task goes on without them', async () => {
    const before = await place.property('MainPID')
    // Each holds 40 MB. Together they need more than MemoryMax.
    const holder = '(head -c 40000000 /dev/zero; sleep 3) | tail -c 40000000 >/dev/null &'
    const script = `${printing(stepStart())}for i in $(seq 12); do ${holder} done; wait\n${answering('without some tools')}`
    const kills = await memoryKills()
    expect(await ended(await begin(script))).toMatchObject({status: 'completed', result: 'without some tools'})
    expect(await memoryKills()).toBeGreaterThan(kills)
    expect(await place.property('MainPID')).toBe(before)
    expect(await place.property('NRestarts')).toBe('0')
  })

  test('agents and their tools have a higher out-of-memory score than the worker', async () => {
    const task = await begin(`${printing(stepStart())}sleep 60\n`)
    await until(() => processesOf(task).length === 2, 'the agent and its tool', timeoutMs)
    const shown = await place.systemd.run(['cat', `/proc/${await place.property('MainPID')}/oom_score_adj`])
    const worker = Number(shown.stdout)
    // a process has its score a moment after its start
    const scores = () => processesOf(task).map(scoreOf).join()
    await until(
      () => scores() === `${worker + 500},${worker + 500}`,
      () => `the scores, now ${scores()}`,
    )
    expect(await place.property('OOMScoreAdjust')).toBe('-200')
    expect((await place.fleet.http.call('POST', `/v1/opencode/tasks/${task}/cancel`)).status).toBe(200)
    expect((await ended(task)).status).toBe('cancelled')
  })
})
