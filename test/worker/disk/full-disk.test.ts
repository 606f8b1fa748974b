import {existsSync, readdirSync, readFileSync, rmSync, statSync} from 'node:fs'
import {join} from 'node:path'
import {describe, expect, test} from 'vitest'
import type {StatusReport} from '../../../src/commands/status.ts'
import {Journal} from '../../../src/lib/journal/journal.ts'
import {cli, start, stop} from '../../support/cli.ts'
import {startFleet} from '../../support/fleet.ts'
import {reportSkipped} from '../../support/private-systemd/private-machine.ts'
import {repository, until} from '../../support/scratch.ts'
import {smallDisk, smallDiskProblem} from '../../support/small-disk.ts'
import {says} from '../../support/workshop.ts'

const isSkipped = reportSkipped('a worker whose disk is full', smallDiskProblem())
const mib = 1024 ** 2

/** A control plane, and a worker with its state on a disk of 8 MiB. */
async function setUp(settings: Record<string, string> = {}) {
  const disk = smallDisk(8)
  const fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const env = {...fleet.env, A2A_STATE_DIR: disk.path, A2A_MIN_FREE_DISK: '0', ...settings}
  const begin = () => start(['start', '--server', fleet.url, '--name', 'w', '--codebase', path], {cwd: fleet.path, env})
  let worker = begin()
  await says(worker, 'Task stream connected')
  const codebase = await fleet.codebaseId(path)
  const at = {
    disk,
    fleet,
    dir: join(disk.path, 'workers/w'),
    log: () => worker.stderr(),
    pid: () => worker.process.pid,
    isAlive: () => worker.process.exitCode === null,
    says: (text: string | RegExp) => says(worker, text),
    kill: () => stop(worker, 'SIGKILL'),
    begin: () => (worker = begin()),
    task: async (prompt: string) => (await fleet.http.task(codebase, {prompt})).id,
    ballast: () => until(() => existsSync(join(at.dir, 'ballast')), 'the ballast'),
    /** Reads the output of all pages. */
    output: async (id: string) =>
      (await cli(['tasks', 'output', id, '--server', fleet.url, '--raw'], {cwd: fleet.path, env})).stdout,
    spool: (id: string) => readFileSync(join(at.dir, 'runs', id, '1/stdout.ndjson'), 'utf8'),
    status: async () => {
      const args = (...more: string[]) => ['status', '--server', fleet.url, ...more]
      const {code, stdout} = await cli(args('--json'), {cwd: fleet.path, env})
      const text = (await cli(args(), {cwd: fleet.path, env})).stdout
      return {code, text, report: JSON.parse(stdout) as StatusReport}
    },
    async [Symbol.asyncDispose]() {
      if (worker.process.exitCode === null) await stop(worker, 'SIGKILL')
      await fleet[Symbol.asyncDispose]()
      disk[Symbol.dispose]()
    },
  }
  return at
}

describe.skipIf(isSkipped)('a worker whose disk is full', () => {
  test('takes no tasks below the minimum and says so, continues active tasks, and resumes by itself', async () => {
    await using at = await setUp({A2A_MIN_FREE_DISK: '4'})
    await at.ballast()
    const before = await at.status()
    expect(before).toMatchObject({code: 0, report: {local: [{disk: {is_low: false, minimum: 4 * mib}}]}})
    expect(before.text).toMatch(/^disk +[567][.\d]* MiB free for .*\/workers\/w; 0 ended tasks use 0 MiB$/m)
    const runs = await at.task('@ms=4000')
    await until(async () => (await at.fleet.http.get(runs)).status === 'running', 'the task to run')
    at.disk.fill(3 * mib)
    await at.says(
      /WARN.* Only [23][.\d]* MiB are free for \S+\/workers\/w \(min_free_disk is 4 MiB\)\. The worker takes no tasks until/,
    )
    const low = await at.status()
    expect(low).toMatchObject({code: 1, report: {state: 'degraded', local: [{free: 0, disk: {is_low: true}}]}})
    expect(low.report.error).toMatch(/^worker w takes no tasks: too little disk space or inodes for .*\/workers\/w$/)
    expect(low.text).toMatch(
      /^disk +[23][.\d]* MiB free .*less than min_free_disk \(4 MiB\): the worker takes no tasks;/m,
    )
    const waits = await at.task('later')
    expect((await at.fleet.ended(runs)).status).toBe('completed')
    await until(async () => (await at.fleet.http.get(waits)).status === 'pending', 'the task to wait')

    at.disk.clear()
    await at.says(/are free for \S+\. The worker takes tasks again/)
    expect((await at.fleet.ended(waits)).status).toBe('completed')
    expect((await at.status()).code).toBe(0)
  })

  test('fails the task that filled it for that reason, uploads its output, and continues', async () => {
    await using at = await setUp()
    await at.ballast()
    const pid = at.pid()
    const id = await at.task('@flood')
    const task = await at.fleet.ended(id)
    expect(task).toMatchObject({status: 'failed', error: expect.stringContaining('the disk is full')})
    const printed = at.spool(id)
    expect(printed.length).toBeGreaterThan(6 * mib)
    expect((await at.output(id)) === printed).toBe(true)
    at.disk.fill()
    await at.says('is full. Free some space there')
    expect(at.log().match(/is full. Free some space there/g)).toHaveLength(1)

    at.disk.clear()
    rmSync(join(at.dir, 'runs'), {recursive: true}) // somebody frees space by hand
    expect((await at.fleet.ended(await at.task('next'))).status).toBe('completed')
    await at.ballast()
    expect(at.pid()).toBe(pid)
    expect(at.isAlive()).toBe(true)
  })

  test('returns a task to the queue whose files cannot be written, and runs it once there is space', async () => {
    await using at = await setUp()
    await at.ballast()
    at.disk.fill()
    const first = await at.task('hi')
    await at.says(/The worker takes no tasks: .*run's files in .*: the disk is full/)
    await until(() => !existsSync(join(at.dir, 'ballast')), 'the ballast to be given up')
    at.disk.fill()
    const second = await at.task('waits')
    await until(async () => (await at.fleet.http.get(second)).waiting?.includes('the disk is full'), 'the reason')
    await until(async () => (await at.fleet.http.get(first)).status === 'pending', 'the first task to wait')

    at.disk.clear()
    for (const id of [first, second]) expect((await at.fleet.ended(id)).status).toBe('completed')
    const {attempt, returns} = await at.fleet.http.get(first)
    expect(attempt - returns).toBe(1)
    expect((await at.fleet.ended(await at.task('next'))).status).toBe('completed')
    await at.ballast()
  })

  test('sends the report of a run even if journal and ballast have no space for it', async () => {
    await using at = await setUp()
    await at.ballast()
    const id = await at.task('@lines=5 @ms=1500')
    await until(async () => (await at.fleet.output(id)).includes('line 4'), 'the run to have printed')
    rmSync(join(at.dir, 'ballast'))
    at.disk.fill()
    expect(await at.fleet.ended(id)).toMatchObject({status: 'completed', result: expect.stringContaining('line 4')})
    expect(at.log()).toMatch(/The report could not be written to the journal yet. It is sent anyway: .*disk is full/)
    expect(await at.fleet.output(id)).toBe(at.spool(id))
    expect(at.log().match(/is full. Free some space there/g)).toHaveLength(1)
    at.disk.clear()
    await at.ballast()
    await at.kill()
    using journal = await Journal.open(join(at.dir, 'journal.db'))
    expect(journal.unfinished()).toEqual([]) // now that there is space, the journal knows that everything was reported
  })

  test('starts with a full disk by means of its ballast, and recovers by itself', async () => {
    await using at = await setUp({A2A_MIN_FREE_DISK: '2'})
    await at.ballast()
    await at.kill()
    at.disk.fill()
    at.begin()
    await at.says('Task stream connected')
    await at.says('The worker takes no tasks until')
    const id = await at.task('later')
    at.disk.clear()
    expect((await at.fleet.ended(id)).status).toBe('completed')
    expect(statSync(join(at.dir, 'ballast')).blocks * 512).toBe(mib)
  })

  test('removes ended runs, oldest first, before it stops taking tasks', async () => {
    await using at = await setUp({A2A_MIN_FREE_DISK: '3'})
    await at.ballast()
    const [first, second, third] = [await at.task('@lines=8000'), await at.task('@lines=8000'), await at.task('hi')]
    for (const id of [first, second, third]) expect((await at.fleet.ended(id)).status).toBe('completed')
    await until(async () => (await at.status()).report.local[0]?.disk?.runs.tasks === 3, 'the runs to be measured')
    at.disk.fill(2.9 * mib)
    const left = () => readdirSync(join(at.dir, 'runs')).sort()
    await until(() => left().length === 2, 'the oldest to go')
    expect(left()).toEqual([second, third].sort())
    expect((await at.fleet.ended(await at.task('next'))).status).toBe('completed')
    expect(at.log()).not.toContain('The worker takes no tasks')
  })
})
