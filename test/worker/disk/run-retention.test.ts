import {existsSync, mkdirSync, rmSync, utimesSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {RunRetention, type RunRetentionOptions} from '../../../src/lib/worker/disk/run-retention.ts'
import {scratchFolder} from '../../support/scratch.ts'

const dayMs = 24 * 60 * 60_000
const never = new AbortController().signal

/** Creates the files of a run that ended `days` ago. */
function run(root: string, task: string, {days = 0, bytes = 0, attempt = 1} = {}): void {
  const folder = join(root, task, String(attempt))
  mkdirSync(folder, {recursive: true})
  writeFileSync(join(folder, 'prompt'), 'do it')
  writeFileSync(join(folder, 'stdout.ndjson'), Buffer.alloc(bytes, 1))
  const at = (Date.now() - days * dayMs) / 1000
  for (const path of [join(folder, 'prompt'), join(folder, 'stdout.ndjson'), folder, join(root, task)])
    utimesSync(path, at, at)
}

async function retentionOf(root: string, rest: Partial<RunRetentionOptions> = {}): Promise<RunRetention> {
  const limits = {maxAgeMs: 0, maxBytes: 0, activeTaskIds: () => new Set<string>()}
  const retention = new RunRetention({root, clock: systemClock, ...limits, ...rest})
  await retention.scan(never)
  return retention
}

test('runs are removed by age, active runs never', async () => {
  using scratch = scratchFolder()
  const there = (...names: string[]) => names.map((name) => existsSync(join(scratch.path, name)))
  run(scratch.path, 'new', {days: 1})
  run(scratch.path, 'old', {days: 20})
  run(scratch.path, 'begun-again', {days: 20})
  run(scratch.path, 'begun-again', {days: 2, attempt: 2})
  run(scratch.path, 'in-hand', {days: 30})
  const retention = await retentionOf(scratch.path, {maxAgeMs: 14 * dayMs, activeTaskIds: () => new Set(['in-hand'])})
  expect(retention.usage.tasks).toBe(4)
  await retention.prune()
  expect(there('new', 'old', 'begun-again', 'in-hand')).toEqual([true, false, true, true])
  expect(retention.usage.tasks).toBe(3)
})

test('above the size limit the oldest ended runs are removed first; without limits all stay', async () => {
  using scratch = scratchFolder()
  const names = ['a', 'b', 'c', 'd']
  const there = () => names.filter((name) => existsSync(join(scratch.path, name)))
  for (const [i, name] of ['a', 'b', 'c'].entries()) run(scratch.path, name, {days: 3 - i, bytes: 200_000})
  const all = await retentionOf(scratch.path)
  await all.prune()
  expect(there()).toEqual(['a', 'b', 'c'])
  expect(all.usage.bytes).toBeGreaterThan(600_000)
  const retention = await retentionOf(scratch.path, {maxBytes: 700_000, activeTaskIds: () => new Set(['b'])})
  await retention.prune()
  expect(there()).toEqual(['a', 'b', 'c'])
  run(scratch.path, 'd', {bytes: 400_000})
  await retention.measure('d')
  await retention.prune()
  expect(there()).toEqual(['b', 'd'])
})

test('space is made by removing the oldest runs, no more than necessary, and none if all are not enough', async () => {
  using scratch = scratchFolder()
  for (const [i, name] of ['a', 'b', 'c'].entries()) run(scratch.path, name, {days: 3 - i, bytes: 200_000})
  const retention = await retentionOf(scratch.path)
  expect(await retention.free(10_000_000)).toBe(false)
  expect(retention.usage.tasks).toBe(3)
  expect(await retention.free(250_000)).toBe(true)
  expect(['a', 'b', 'c'].map((name) => existsSync(join(scratch.path, name)))).toEqual([false, false, true])
})

test('an unfinished removal of an earlier process is finished, and a folder removed by hand does no harm', async () => {
  using scratch = scratchFolder()
  run(scratch.path, '.going-x')
  run(scratch.path, 'a', {days: 9, bytes: 200_000})
  const retention = await retentionOf(scratch.path, {maxAgeMs: dayMs})
  expect(existsSync(join(scratch.path, '.going-x'))).toBe(false)
  rmSync(join(scratch.path, 'a'), {recursive: true})
  await retention.prune()
  expect(retention.usage).toEqual({tasks: 0, bytes: 0})
  expect((await retentionOf(join(scratch.path, 'nothing-yet'))).usage).toEqual({tasks: 0, bytes: 0})
})

test('folders are measured one after the other, without blocking the event loop', async () => {
  using scratch = scratchFolder()
  for (let i = 0; i < 1000; i++) run(scratch.path, `task-${i}`, {days: 20 - i / 100})
  let turns = 0
  const others = setInterval(() => turns++, 0)
  const retention = await retentionOf(scratch.path, {maxAgeMs: 11.0005 * dayMs})
  clearInterval(others)
  expect(turns).toBeGreaterThan(10)
  expect(retention.usage.tasks).toBe(1000)
  await retention.prune()
  expect(retention.usage.tasks).toBe(100)
})
