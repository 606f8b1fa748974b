import {existsSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {describe, expect, test} from 'vitest'
import {ownGroup, ownRunGroups, recordedGroup} from '../../../src/lib/executor/processes/run-groups.ts'
import {reportSkipped} from '../../support/private-systemd/private-machine.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {shell} from '../../support/shell.ts'
import {waitFor} from '../../support/wait-for.ts'

const owner = 'worker@1-2'

test.each([
  ['0::/system.slice/a.service', '/', '/sys/fs/cgroup', '/sys/fs/cgroup/system.slice/a.service'],
  ['9:name=systemd:/x\n0::/', '/', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/unified'],
  ['0::/docker/1/a', '/docker/1', '/sys/fs/cgroup', '/sys/fs/cgroup/a'],
  ['0::/../other', '/', '/sys/fs/cgroup', undefined],
  ['9:memory:/x', '/', '/sys/fs/cgroup', undefined],
])('finds the folder of its own group: %s, mounted from %s', (groups, root, point, expected) => {
  const mounts = `30 20 0:27 / /proc rw - proc proc rw\n41 31 0:38 ${root} ${point} rw,relatime - cgroup2 cgroup2 rw`
  expect(ownGroup(mounts, `${groups}\n`)).toBe(expected)
  expect(ownGroup('30 20 0:27 / /proc rw - proc proc rw', `${groups}\n`)).toBeUndefined()
})

const groups = ownRunGroups()
const skip = reportSkipped(
  'control groups of runs',
  groups ? undefined : 'it needs a cgroup v2 that this user may change',
)

/** Leaves a process that has lost its parent, session, environment, folder and output. */
const stray = (seconds: number) =>
  `(cd / && env -i setsid /bin/sh -c '/bin/sleep ${seconds} & exit' </dev/null >/dev/null 2>&1)`

/** A shell script in a control group of its own. */
function startRun(script: string) {
  const scratch = scratchFolder()
  const marker = `${owner}:${Math.random()}:1`
  const group = groups!.create(marker, scratch.path)
  const run = shell(`GROUP=${group.path}; ${script}`, {marker, group, cwd: scratch.path})
  const dispose = async () => {
    await run.end([], {graceMs: 0})
    await run.exited
    group.remove()
    scratch[Symbol.dispose]()
  }
  return {...run, group, folder: scratch.path, [Symbol.asyncDispose]: dispose}
}

describe.skipIf(skip)('a run with a control group', () => {
  test('leaves no process, also if one has lost its parent, session, environment, folder and output', async () => {
    await using run = startRun(Array.from({length: 7}, () => stray(9870)).join('\n'))
    await run.exited
    await waitFor(() => run.group.pids().length === 7, 'the stray processes')
    expect(await run.end([], {group: undefined})).toEqual([])
    expect(run.group.pids()).toHaveLength(7) // without the group nothing tells that they belong to the run
    expect(await run.end()).toEqual([])
    expect(run.group.pids()).toEqual([])
    run.group.remove()
    expect(existsSync(run.group.path)).toBe(false)
  })

  test('ends a process that is replaced by its child all the time', async () => {
    await using run = startRun('printf \'env -i setsid sh "$0" & exit\' >loop.sh && exec sh loop.sh')
    await run.exited
    expect(run.group.pids()).not.toEqual([])
    expect(await run.end([], {graceMs: 100})).toEqual([])
    expect(run.group.pids()).toEqual([])
  })

  test('ends processes in groups that the agent has created below its own', async () => {
    await using run = startRun('mkdir "$GROUP/inner" && echo 0 >"$GROUP/inner/cgroup.procs" && exec sleep 9870')
    await waitFor(() => existsSync(join(run.group.path, 'inner')) && run.group.pids().length === 1, 'the inner group')
    expect(await run.end([], {graceMs: 0})).toEqual([])
    run.group.remove()
    expect(existsSync(run.group.path)).toBe(false)
  })

  test('lets a stray process end by itself within the grace time', async () => {
    const script = 'trap "echo ended >ended; exit" TERM; echo >ready; while :; do sleep 0.02; done'
    await using run = startRun(`env -i setsid /bin/sh -c '${script}' & exit`)
    await run.exited
    await waitFor(() => existsSync(join(run.folder, 'ready')), 'the trap')
    expect(await run.end([], {graceMs: 10_000})).toEqual([])
    expect(readFileSync(join(run.folder, 'ended'), 'utf8')).toBe('ended\n')
  })

  test('is found again by its folder, unless the record was changed to name another group', async () => {
    await using run = startRun('exec sleep 9870')
    await using other = startRun('exec sleep 9870')
    expect(recordedGroup(run.marker, run.folder)?.path).toBe(run.group.path)
    for (const path of [other.group.path, dirname(run.group.path), '/', 'cgroup', '']) {
      writeFileSync(join(run.folder, 'cgroup'), path)
      expect(recordedGroup(run.marker, run.folder)).toBeUndefined()
    }
  })

  test('is unknown to its owner only', async () => {
    await using run = startRun('exec sleep 9870')
    const paths = (owner: string, ...known: string[]) => groups!.unknown(owner, known).map(({path}) => path)
    expect(paths(owner)).toContain(run.group.path)
    expect(paths(owner, run.marker)).not.toContain(run.group.path)
    expect(paths('other@1-2')).not.toContain(run.group.path)
  })
})
