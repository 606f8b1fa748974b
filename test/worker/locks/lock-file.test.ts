import {readdirSync, readFileSync, utimesSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {identify} from '../../../src/lib/executor/processes/processes.ts'
import {isLock, acquireLock} from '../../../src/lib/worker/locks/lock-file.ts'
import {scratchFolder} from '../../support/scratch.ts'

const hour = 3600

test('a lock is one file that always contains its holder, also when it is handed over', () => {
  using scratch = scratchFolder()
  const path = join(scratch.path, 'lock')
  const lock = acquireLock(path, 'a')
  expect(readdirSync(scratch.path)).toEqual(['lock'])
  expect(acquireLock(path, 'b')).toMatchObject({pid: process.pid, what: 'a'})
  const size = readFileSync(path).length
  if (isLock(lock)) lock.transferTo(identify(process.ppid))
  expect(readFileSync(path)).toHaveLength(size)
  expect(acquireLock(path, 'b')).toMatchObject({pid: process.ppid})
  if (isLock(lock)) lock[Symbol.dispose]()
  expect(readdirSync(scratch.path)).toEqual([])
})

test.each([
  ['long ago', -hour],
  ['in the future, because the clock was set back', hour],
])('a lock file without a holder, written %s, counts as free', (_when, seconds) => {
  using scratch = scratchFolder()
  const path = join(scratch.path, 'lock')
  writeFileSync(path, '')
  const at = Date.now() / 1000 + seconds
  utimesSync(path, at, at)
  const lock = acquireLock(path, 'a')
  expect(isLock(lock)).toBe(true)
  if (isLock(lock)) lock[Symbol.dispose]()
})

test('a fresh lock file without a holder counts as held', () => {
  using scratch = scratchFolder()
  const path = join(scratch.path, 'lock')
  writeFileSync(path, '')
  expect(isLock(acquireLock(path, 'a'))).toBe(false)
})
