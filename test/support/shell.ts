import {spawn} from 'node:child_process'
import {once} from 'node:events'
import type {ProcessIdentity} from '../../src/lib/executor/processes/processes.ts'
import {endProcesses} from '../../src/lib/executor/processes/kill-tree.ts'
import {descendantsOf, identify} from '../../src/lib/executor/processes/processes.ts'
import type {RunGroup} from '../../src/lib/executor/processes/run-groups.ts'
import {systemClock} from '../../src/lib/core/clock.ts'

/** A shell script as the leader of its own process group, like an agent. Its processes are ended after the test. */
export function shell(script: string, options: {marker?: string; cwd?: string; group?: RunGroup} = {}) {
  const marker = options.marker ?? `shell-${process.pid}-${Math.random()}`
  const {group} = options
  const words = ['-c', script]
  const [program, args] = group ? group.enter('/dev/null', ['/bin/sh', ...words]) : ['/bin/sh', words]
  const child = spawn(program, args, {
    cwd: options.cwd,
    detached: true,
    env: {PATH: process.env['PATH'], A2A_RUN: marker},
    stdio: 'ignore',
  })
  const exited = once(child, 'exit')
  const root: ProcessIdentity = identify(child.pid ?? 0)
  const end = (
    seen: ProcessIdentity[] = [],
    rest: {graceMs?: number; runDir?: string; marker?: string; group?: undefined} = {},
  ) => endProcesses({root, marker, runDir: '/nowhere', graceMs: 1000, clock: systemClock, seen, group, ...rest})
  return {
    root,
    marker,
    exited,
    end,
    async [Symbol.asyncDispose]() {
      await end(descendantsOf([root]), {graceMs: 0})
      await exited
    },
  }
}
