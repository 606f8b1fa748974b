import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {realPathOf} from '../core/paths/real-path.ts'
import {runFiles, type ProcessIdentity} from './executor.ts'
import {hasMarker, hasProc, lastPid, listProcesses, writesTo, readProcess, hasWorkingDirectoryIn} from './processes.ts'

export type EndOptions = {
  /** The agent. It may have ended already. It was started as the leader of a process group. */
  root: ProcessIdentity
  marker: string
  /** The run's folder, with its output files and its temporary folder. */
  runDir: string
  /** Processes that were descendants of the agent at some time. */
  seen: Iterable<ProcessIdentity>
  /** Between SIGTERM and SIGKILL. */
  graceMs: number
  clock: Clock
  /** The agent started so recently that all its processes have higher pids. Default: false. */
  isRecent?: boolean
}

/** How long to wait after SIGKILL. A process that is still alive then is stuck in the kernel, or belongs to another user. */
const killMs = 2000

/**
 * Ends all processes of a run and repeats until none is left. Resolves with those that could not be ended.
 *
 * No single sign finds them all: the agent's shells have process groups of their own, orphans lose their parent, and
 * `env -i` loses the marker. A process belongs to the run by any of: group, marker, ancestry (now or when last seen),
 * working directory in the run's temporary folder, output to one of the run's files.
 */
export async function endProcesses(options: EndOptions): Promise<ProcessIdentity[]> {
  if (!hasProc) return endGroup(options)
  const {graceMs, clock} = options
  const places = {...options, runDir: realPathOf(options.runDir)}
  const known = new Map([options.root, ...options.seen].map((identity) => [keyOf(identity), identity]))
  const terminated = new Set<string>()
  const startedAt = clock.monotonic()
  for (let pause = 2; ; pause = Math.min(pause * 2, 50)) {
    const alive = members(places, known)
    const waited = clock.monotonic() - startedAt
    if (alive.length === 0 || waited >= graceMs + killMs) return alive
    for (const identity of alive) {
      const key = keyOf(identity)
      // Its parent may end before the next scan, so the process is remembered by itself from now on.
      known.set(key, identity)
      if (waited >= graceMs) send(identity, 'SIGKILL')
      else if (!terminated.has(key)) send(identity, 'SIGTERM')
      terminated.add(key)
    }

    await clock.sleep(waited < graceMs ? Math.min(pause, graceMs - waited) : pause)
  }
}

const keyOf = ({pid, startTime}: ProcessIdentity) => `${pid} ${startTime}`

function members({root, marker, runDir, isRecent}: EndOptions, known: ReadonlyMap<string, unknown>): ProcessIdentity[] {
  const since = Number(root.startTime)
  const youngest = isRecent ? lastPid() : 0
  const all = listProcesses(youngest >= root.pid ? {from: root.pid, to: youngest} : undefined)
  // If the pid was reused, the group of that number belongs to another process.
  const isGroupOurs = all.every(({pid, startTime}) => pid !== root.pid || startTime === root.startTime)
  const candidates = all.filter(({pid, startTime}) => Number(startTime) >= since && pid !== process.pid)
  const found = new Map(
    candidates
      .filter(
        (info) =>
          known.has(keyOf(info)) ||
          (isGroupOurs && info.group === root.pid) ||
          hasMarker(info.pid, marker) ||
          hasWorkingDirectoryIn(info.pid, join(runDir, runFiles.tmp)) ||
          writesTo(info.pid, runDir),
      )
      .map(({pid, startTime}) => [pid, {pid, startTime}]),
  )
  for (let size = -1; size !== found.size;) {
    size = found.size
    for (const {pid, startTime, parent} of candidates) if (found.has(parent)) found.set(pid, {pid, startTime})
  }

  return [...found.values()]
}

function send({pid, startTime}: ProcessIdentity, signal: NodeJS.Signals): void {
  if (readProcess(pid)?.startTime !== startTime) return
  try {
    process.kill(pid, signal)
  } catch {
    // It has just ended, or belongs to another user. The next scan shows which.
  }
}

/** Without /proc only the process group can be found. */
async function endGroup({root, graceMs, clock}: EndOptions): Promise<ProcessIdentity[]> {
  const startedAt = clock.monotonic()
  let isTerminated = false
  while (sendGroup(root.pid, 0)) {
    const waited = clock.monotonic() - startedAt
    if (waited >= graceMs + killMs) return [root]
    if (waited >= graceMs) sendGroup(root.pid, 'SIGKILL')
    else if (!isTerminated) sendGroup(root.pid, 'SIGTERM')
    isTerminated = true
    await clock.sleep(50)
  }

  return []
}

function sendGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal)
  } catch {
    return false
  }
}
