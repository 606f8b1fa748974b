// A control group for each agent of a floor, if the worker has them too: so ratios compare like with like.
import {mkdirSync, readFileSync, rmdirSync} from 'node:fs'
import {join} from 'node:path'
import {chooseContainment} from '../../src/lib/executor/processes/containment.ts'
import {ownGroup} from '../../src/lib/executor/processes/run-groups.ts'

type Entered = {program: string; args: string[]; remove: () => void}

/** The folder below which a worker of this process's group creates control groups. Undefined if it creates none. */
export function groupsFolder(): string | undefined {
  const wanted = process.env['A2A_RUN_CONTAINMENT']
  if (wanted !== undefined && wanted !== 'cgroup' && wanted !== 'auto') return undefined
  if (chooseContainment('auto', process.env).kind !== 'cgroup') return undefined
  return ownGroup(readFileSync('/proc/self/mountinfo', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'))
}

let count = 0

/** How to start a program inside of a new control group below `folder`. Without a folder: how to start it. */
export function inGroup(folder: string | undefined, program: string, args: string[]): Entered {
  if (folder === undefined) return {program, args, remove: () => {}}
  const path = join(folder, `a2a-floor-${process.pid}-${++count}`)
  mkdirSync(path)
  const script = 'echo 0 >"$0/cgroup.procs" && exec "$@"'
  return {program: '/bin/sh', args: ['-c', script, path, program, ...args], remove: () => rmdirSync(path)}
}
