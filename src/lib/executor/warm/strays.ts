import type {Clock} from '../../core/clock.ts'
import {isAlive, listProcesses, markerOf, type ProcessIdentity, readProcess} from '../processes/processes.ts'
import type {RunGroup} from '../processes/run-groups.ts'

/** How long a process has to end by itself. */
const graceMs = 1000
const pauseMs = 20

type Place = {root: ProcessIdentity; marker: string; group: RunGroup | undefined}

/**
 * Ends what a task has left: processes of the agent's group, or with its marker, that do not descend from it any more.
 * What the agent itself has started and keeps, such as a language server, stays. Resolves with whether nothing is left.
 */
export async function endStrays(place: Place, clock: Clock): Promise<boolean> {
  const startedAt = clock.monotonic()
  for (;;) {
    const left = straysOf(place)
    if (left.length === 0) return true
    const waited = clock.monotonic() - startedAt
    if (waited > 2 * graceMs) return false
    for (const {pid} of left) signal(pid, waited > graceMs ? 'SIGKILL' : 'SIGTERM')
    await clock.sleep(pauseMs)
  }
}

function straysOf({root, marker, group}: Place): ProcessIdentity[] {
  const members = group
    ? group.pids().flatMap((pid) => readProcess(pid) ?? [])
    : listProcesses().filter(({pid}) => markerOf(pid) === marker)
  const parents = new Map(members.map(({pid, parent}) => [pid, parent]))
  const descends = (pid: number): boolean => {
    for (let at: number | undefined = pid, steps = 0; at !== undefined && steps < 100; steps += 1) {
      if (at === root.pid) return true
      at = parents.get(at)
    }
    return false
  }
  return members.filter(({pid, startTime}) => !descends(pid) && isAlive({pid, startTime}))
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has just ended.
  }
}
