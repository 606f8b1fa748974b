import type {Clock} from '../../core/clock.ts'
import type {ProcessIdentity} from './processes.ts'
import {readIfThere} from '../../core/paths/read-if-there.ts'

/** An agent that waits uses 1 to 2 % of a core and reads 50 bytes a second (OpenCode 1.18.33). */
const cpuShare = 0.05
const bytesPerSecond = 4096
const msPerTick = 10

type Sample = {cpuMs: number; bytes: number}

/**
 * Returns a function that tells whether processes have worked since its last call: by their CPU time, by what they read
 * and write, or by starting another process.
 */
export function createWorkMeter(clock: Clock): (processes: readonly ProcessIdentity[]) => boolean {
  let before: Map<string, Sample> | undefined
  let sampledAt = 0
  return (processes) => {
    const now = clock.monotonic()
    const samples = new Map(processes.map((process) => [`${process.pid} ${process.startTime}`, sample(process)]))
    const seconds = (now - sampledAt) / 1000
    const previous = before
    before = samples
    sampledAt = now
    if (!previous) return false
    let cpuMs = 0
    let bytes = 0
    for (const [key, current] of samples) {
      const earlier = previous.get(key)
      if (!earlier) return true
      cpuMs += Math.max(0, current.cpuMs - earlier.cpuMs)
      bytes += Math.max(0, current.bytes - earlier.bytes)
    }
    return cpuMs > seconds * 1000 * cpuShare || bytes > seconds * bytesPerSecond
  }
}

function sample({pid, cgroup}: ProcessIdentity): Sample {
  if (cgroup !== undefined) return {cpuMs: cpuMsOf(cgroup), bytes: 0}
  const stat = readIfThere(`/proc/${pid}/stat`) ?? ''
  // Fields 14 to 17 of proc(5), counted from the end of the name: CPU time of the process and of its ended children.
  const ticks = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
  const cpuMs = ticks.reduce((sum, text) => sum + (Number(text) || 0), 0) * msPerTick
  const io = readIfThere(`/proc/${pid}/io`) ?? ''
  const bytes = [...io.matchAll(/^[rw]char: (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0)
  return {cpuMs, bytes}
}

/** CPU time of a control group, where /proc hides its processes. */
const cpuMsOf = (cgroup: string): number =>
  Number(/^usage_usec (\d+)$/m.exec(readIfThere(`${cgroup}/cpu.stat`) ?? '')?.[1] ?? 0) / 1000
