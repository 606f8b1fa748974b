import {join} from 'node:path'
import {expect, test} from 'vitest'
import {ExpectedError} from '../../src/lib/core/errors.ts'
import {Journal} from '../../src/lib/journal/journal.ts'
import {acquireWorkerLock} from '../../src/lib/worker/locks/worker-lock.ts'
import {Ballast} from '../../src/lib/core/disk/ballast.ts'
import {reportSkipped} from '../support/private-systemd/private-machine.ts'
import {smallDisk, smallDiskProblem} from '../support/small-disk.ts'

const isSkipped = reportSkipped('a journal on a full disk', smallDiskProblem())

const run = (id: string) => ({
  task_id: id,
  attempt: 1,
  title: 'x'.repeat(9000),
  path: '/p',
  run_dir: `/r/${id}/1`,
  marker: `w:${id}:1`,
  boot_id: '',
  agent: 'build',
  model: null,
  codebase_id: 'cb',
  started_at: 1,
})

test.skipIf(isSkipped)(
  'on a full disk a run is refused, and all other writes wait in memory until there is space',
  async () => {
    using disk = smallDisk(2)
    const file = join(disk.path, 'journal.db')
    {
      using journal = await Journal.open(file)
      journal.begin(run('a'))
      journal.begin(run('b'))
      disk.fill()
      journal.session(run('a'), 'ses_1')
      for (let cursor = 1; cursor <= 1000; cursor++) journal.acknowledged(run('a'), cursor)
      expect(journal.saveReport(run('a'), {text: 'x'.repeat(9000)})).toMatch(/disk is full/)
      expect(() => journal.begin(run('c'))).toThrow(/^the disk is full: the database .*journal\.db cannot be written$/)
      expect(() => journal.resumed(run('b'), 'boot')).toThrow(/^the disk is full/)
      journal.remove(run('b'))
      expect(journal.unfinished().map(({task_id, report}) => [task_id, report])).toEqual([
        ['a', null],
        ['b', null],
      ])
      disk.clear()
      journal.retryWrites()
      expect(journal.unfinished()).toMatchObject([
        {task_id: 'a', session_id: 'ses_1', cursor: 1000, report: expect.stringContaining('xxx'), resumes: 0},
      ])
    }
    using again = await Journal.open(file)
    expect(again.unfinished()).toHaveLength(1)
  },
)

test.skipIf(isSkipped)('the ballast is deleted once for a commit, and created again when there is space', async () => {
  using disk = smallDisk(4)
  const ballast = new Ballast(join(disk.path, 'ballast'), 1024 ** 2)
  expect(await ballast.restore(disk.free())).toBe(true)
  expect(disk.free()).toBe(3 * 1024 ** 2)
  const asked: boolean[] = []
  const makeRoom = () => {
    asked.push(ballast.release())
    return asked.at(-1) === true
  }
  using journal = await Journal.open(join(disk.path, 'journal.db'), {makeRoom})
  disk.fill()
  journal.begin(run('a'))
  expect(asked).toEqual([true])
  expect(await ballast.restore(disk.free())).toBe(false)
  disk.fill()
  expect(() => journal.begin(run('b'))).toThrow('the disk is full')
  expect(asked).toEqual([true, false])
  disk.clear()
  expect(await ballast.restore(disk.free())).toBe(true)
  expect(new Ballast(join(disk.path, 'ballast'), 1024 ** 2).isPresent).toBe(true)
})

test.skipIf(isSkipped)('a full disk without ballast at the start: exit 73, and no half-written files', async () => {
  using disk = smallDisk(1)
  disk.fill()
  const exit73 = expect.objectContaining({exitCode: 73, message: expect.stringContaining('the disk is full')})
  for (let tries = 0; tries < 2; tries++) {
    expect(() => acquireWorkerLock(disk.path, 'w')).toThrow(exit73)
    await expect(Journal.open(join(disk.path, 'journal.db'))).rejects.toThrow(exit73)
  }
  disk.clear()
  using _lock = acquireWorkerLock(disk.path, 'w')
  using journal = await Journal.open(join(disk.path, 'journal.db'))
  expect(journal.unfinished()).toEqual([])
  expect(() => acquireWorkerLock(disk.path, 'w')).toThrow(ExpectedError)
})
