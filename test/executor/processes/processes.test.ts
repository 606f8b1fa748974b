import {copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {
  bootId,
  descendantsOf,
  hasMarker,
  identify,
  isAlive,
  listProcesses,
  markerOf,
  readProcess,
  hasWorkingDirectoryIn,
} from '../../../src/lib/executor/processes/processes.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {shell} from '../../support/shell.ts'
import {waitFor} from '../../support/wait-for.ts'

test('distinguishes a process from a later one with the same pid', () => {
  const self = identify(process.pid)
  expect(isAlive(self)).toBe(true)
  expect(isAlive({...self, startTime: '1'})).toBe(false)
})

test('reads a process whose name contains brackets and spaces', async () => {
  using scratch = scratchFolder()
  const program = join(scratch.path, 'a) R 1 (b')
  copyFileSync('/bin/sleep', program)
  await using script = shell(`exec '${program}' 300`)
  await waitFor(() => hasWorkingDirectoryIn(script.root.pid, process.cwd()), 'its start')
  const info = await waitFor(() => readProcess(script.root.pid), 'its entry')
  expect(info).toMatchObject({parent: process.pid, group: script.root.pid, startTime: script.root.startTime})
})

test('treats a zombie as dead', async () => {
  await using script = shell('sleep 0 & exec sleep 300')
  const zombie = await waitFor(() => {
    const text = descendantOf(script.root.pid)
    return text
  }, 'a zombie')
  expect(isAlive(zombie)).toBe(false)
  expect(listProcesses().map(({pid}) => pid)).not.toContain(zombie.pid)
})

/** A child that has ended and is not reaped. */
function descendantOf(parent: number) {
  for (let pid = parent; pid < parent + 50; pid++) {
    const info = readProcess(pid)
    if (info?.parent === parent && info.state === 'Z') return info
  }

  return undefined
}

test('compares the complete marker', async () => {
  await using script = shell('exec sleep 300', {marker: 'one-run'})
  // While the shell becomes `sleep`, nobody can tell.
  await waitFor(() => readFileSync(`/proc/${script.root.pid}/comm`, 'latin1') === 'sleep\n', 'the program')
  expect(hasMarker(script.root.pid, 'one-run')).toBe(true)
  expect(hasMarker(script.root.pid, 'one')).toBe(false)
  expect(hasMarker(script.root.pid, 'one-run-more')).toBe(false)
})

test('reads the marker of a process that starts one program after the other', async () => {
  using scratch = scratchFolder()
  const loop = join(scratch.path, 'loop.sh')
  writeFileSync(loop, 'exec sh "$0"')
  await using script = shell(`exec sh ${loop}`, {marker: 'restless'})
  const markers = Array.from({length: 2000}, () => markerOf(script.root.pid))
  expect(new Set(markers)).toEqual(new Set(['restless']))
})

test('finds descendants in other sessions too', async () => {
  await using script = shell('setsid sleep 300 & sh -c "sleep 300; true" & wait')
  await waitFor(() => descendantsOf([script.root]).length >= 3, 'three descendants')
  expect(descendantsOf([{...script.root, startTime: '1'}])).toEqual([])
})

test('finds the processes that work in a folder', async () => {
  using scratch = scratchFolder()
  const inner = join(scratch.path, 'inner')
  mkdirSync(inner)
  symlinkSync(inner, join(scratch.path, 'link'))
  await using script = shell('exec sleep 300', {cwd: join(scratch.path, 'link')})
  expect(hasWorkingDirectoryIn(script.root.pid, scratch.path)).toBe(true)
  expect(hasWorkingDirectoryIn(script.root.pid, join(scratch.path, 'inn'))).toBe(false)
})

test('returns nothing for processes that do not exist', () => {
  expect(readProcess(2 ** 30)).toBeUndefined()
  expect(isAlive({pid: 2 ** 30, startTime: ''})).toBe(false)
  expect(hasMarker(2 ** 30, 'x')).toBe(false)
  expect(hasWorkingDirectoryIn(2 ** 30, '/')).toBe(false)
  expect(bootId()).toMatch(/^[0-9a-f-]{36}$/)
})
