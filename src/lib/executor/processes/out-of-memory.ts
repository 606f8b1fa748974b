import {readIfThere} from '../../core/paths/read-if-there.ts'
import {readFileSync, writeFileSync} from 'node:fs'

/**
 * How many processes of this control group the kernel has killed because memory ran out, or of the machine if the group
 * is not known. Undefined where nothing counts them. Agents are in the worker's group.
 */
export function countMemoryKills(): number | undefined {
  for (const path of memoryCounters(readIfThere('/proc/self/cgroup') ?? '')) {
    const count = /^oom_kill (\d+)$/m.exec(readIfThere(path) ?? '')?.[1]
    if (count !== undefined) return Number(count)
  }

  return undefined
}

/**
 * Files with the counter, best first: of the control group, and of the machine. `groups` is /proc/self/cgroup. A
 * container may see its own group as the top one, although its path says otherwise.
 */
export function memoryCounters(groups: string): string[] {
  const unified = /^0::(.*)$/m.exec(groups)?.[1]
  const memory = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(groups)?.[1]
  const top = '/sys/fs/cgroup'
  return [
    ...(memory === undefined ? [] : [`${top}/memory${memory}/memory.oom_control`, `${top}/memory/memory.oom_control`]),
    ...(unified === undefined ? [] : [`${top}${unified}/memory.events`, `${top}/memory.events`]),
    '/proc/vmstat',
  ]
}

/** Added to the value of the worker. About half of the memory counts as used by the agent in addition to its own. */
const preference = 500
const maxScore = 1000

/** Makes the kernel prefer the agent to the worker when memory runs out. Its children inherit that. */
export function preferForMemoryKill(pid: number): void {
  try {
    const own = Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(Math.min(maxScore, own + preference)))
  } catch {
    // no Linux, or the agent has ended already
  }
}
