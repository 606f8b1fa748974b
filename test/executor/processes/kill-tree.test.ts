import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {descendantsOf, identify, isAlive, writesTo} from '../../../src/lib/executor/processes/processes.ts'
import {processesOf} from '../../support/agent-run.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {shell} from '../../support/shell.ts'
import {waitFor} from '../../support/wait-for.ts'

const descendants = async (script: ReturnType<typeof shell>, count: number) => {
  await waitFor(() => descendantsOf([script.root]).length === count, `${count} descendants`)
  return descendantsOf([script.root])
}

test('ends the agent, its group, and processes that left the group', async () => {
  await using script = shell('nohup sleep 300 & setsid sleep 300 & sh -c "sleep 300; true" & wait')
  await descendants(script, 4)
  expect(await script.end()).toEqual([])
  expect(processesOf(script.marker)).toEqual([])
})

test('ends orphans of an agent that has ended itself', async () => {
  await using script = shell('setsid nohup sleep 300 & sleep 0.1')
  await script.exited
  expect(processesOf(script.marker)).toHaveLength(1)
  expect(await script.end()).toEqual([])
  expect(processesOf(script.marker)).toEqual([])
})

test('ends an orphan that is just starting another program, and has no environment at that moment', async () => {
  using scratch = scratchFolder()
  const loop = join(scratch.path, 'loop.sh')
  writeFileSync(loop, '[ -s "$1" ] || echo $$ > "$1"; exec sh "$0" "$1"')
  // About one scan in twenty meets such a moment.
  const orphan = async (round: number, i: number) => {
    const file = join(scratch.path, `pid-${round}-${i}`)
    await using script = shell(`setsid sh ${loop} ${file} & until [ -s ${file} ]; do sleep 0.01; done`)
    await script.exited
    const identity = identify(Number(readFileSync(file, 'utf8')))
    expect(await script.end()).toEqual([])
    return isAlive(identity)
  }
  for (let round = 0; round < 30; round += 1) {
    expect(await Promise.all([orphan(round, 1), orphan(round, 2)])).toEqual([false, false])
  }
})

test('ends a known process that has left its marker, group and parent', async () => {
  await using script = shell('sh -c "env -i setsid sleep 300 & sleep 0.2"; sleep 0.2; exec sleep 300')
  const seen = await waitFor(
    () => descendantsOf([script.root]).length >= 2 && descendantsOf([script.root]),
    'the child',
  )
  await waitFor(() => descendantsOf([script.root]).length === 0, 'the orphan')
  expect(seen.filter((identity) => isAlive(identity))).toHaveLength(1)
  expect(await script.end(seen)).toEqual([])
  expect(seen.filter((identity) => isAlive(identity))).toEqual([])
})

test("ends processes that work in the run's temporary folder or write to the run's files, but not readers of them", async () => {
  using scratch = scratchFolder()
  const tmp = join(scratch.path, 'tmp')
  const log = join(scratch.path, 'stderr.log')
  mkdirSync(tmp)
  writeFileSync(log, '')
  await using script = shell('sleep 0.1')
  await script.exited
  await using worker = shell('exec sleep 300', {cwd: tmp})
  await using printer = shell(`exec sleep 300 2>${log}`)
  await using reader = shell(`exec tail -f ${log}`, {cwd: scratch.path})
  await waitFor(() => writesTo(printer.root.pid, scratch.path), 'the file to be printed to')
  expect(await script.end([], {runDir: scratch.path})).toEqual([])
  await Promise.all([worker.exited, printer.exited])
  expect(isAlive(reader.root)).toBe(true)
})

test('kills a process that ignores SIGTERM', async () => {
  await using script = shell('trap "" TERM; sleep 300 & sleep 300 & wait; wait; exec sleep 300')
  await descendants(script, 2)
  const begun = performance.now()
  expect(await script.end([], {graceMs: 100})).toEqual([])
  expect(performance.now() - begun).toBeLessThan(2000)
  await script.exited
})

test('sends SIGTERM first: a process that ends within the grace time is not killed', async () => {
  await using script = shell('trap "exit 7" TERM; while true; do sleep 0.02; done')
  await waitFor(() => descendantsOf([script.root])[0], 'its start')
  await script.end([], {graceMs: 5000})
  expect(await script.exited).toEqual([7, null])
})

test('spares an unrelated process that reuses a known pid', async () => {
  await using script = shell('sleep 0.01')
  await using stranger = shell('exec sleep 300')
  await script.exited
  await script.end([{pid: stranger.root.pid, startTime: '1'}], {graceMs: 0})
  expect(isAlive(stranger.root)).toBe(true)
})

test('spares other runs', async () => {
  await using script = shell('exec sleep 300', {marker: 'run-1'})
  await using other = shell('exec sleep 300', {marker: 'run-10'})
  expect(await script.end()).toEqual([])
  expect(isAlive(other.root)).toBe(true)
})
