import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {runFiles, type ProcessIdentity} from './executor.ts'
import {hasMarker, hasProc, lastPid, listProcesses, printsTo, readProcess, realPathOf, worksIn} from './processes.ts'

export type EndOptions = {
  /** The agent itself; it may have ended already. It was started as the leader of a group. */
  root: ProcessIdentity
  marker: string
  /** The run's own folder: with the files that it prints to, and the temporary folder. */
  runDir: string
  /** Processes that descended from the agent at some time. */
  seen: Iterable<ProcessIdentity>
  /** Between SIGTERM and SIGKILL. */
  graceMs: number
  clock: Clock
  /** The agent was started so shortly ago that all its processes have higher numbers than it has. Default: it was not. */
  isRecent?: boolean
}

/** After SIGKILL; what is not gone then sits in the kernel, or belongs to another user. */
const killMs = 2000

/**
 * Ends all processes of a run, and looks until there is none. Resolves with those that could not be ended.
 *
 * No single sign finds them all: the agent's shells have groups of their own, orphans lose their parent, and
 * `env -i` loses the marker. A process is one of the run's by any of: group, marker, descent (now, or when it was
 * last seen), working in the run's temporary folder, printing to one of the run's files.
 */
export async function endProcesses(options: EndOptions): Promise<ProcessIdentity[]> {
  if (!hasProc) return endGroup(options)
  const {graceMs, clock} = options
  const places = {...options, runDir: realPathOf(options.runDir)}
  const known = new Map([options.root, ...options.seen].map((identity) => [keyOf(identity), identity]))
  const asked = new Set<string>()
  const begun = clock.monotonic()
  for (let pause = 2; ; pause = Math.min(pause * 2, 50)) {
    const alive = members(places, known)
    const waited = clock.monotonic() - begun
    if (alive.length === 0 || waited >= graceMs + killMs) return alive
    for (const identity of alive) {
      const key = keyOf(identity)
      // A parent may end before its child is looked at again: from now on the child is known by itself.
      known.set(key, identity)
      if (waited >= graceMs) send(identity, 'SIGKILL')
      else if (!asked.has(key)) send(identity, 'SIGTERM')
      asked.add(key)
    }

    await clock.sleep(waited < graceMs ? Math.min(pause, graceMs - waited) : pause)
  }
}

const keyOf = ({pid, startTime}: ProcessIdentity) => `${pid} ${startTime}`

function members({root, marker, runDir, isRecent}: EndOptions, known: ReadonlyMap<string, unknown>): ProcessIdentity[] {
  const since = Number(root.startTime)
  const youngest = isRecent ? lastPid() : 0
  const all = listProcesses(youngest >= root.pid ? {from: root.pid, to: youngest} : undefined)
  // Somebody else's by now, if the number is in use again: then the group of that number is too.
  const isGroupOurs = all.every(({pid, startTime}) => pid !== root.pid || startTime === root.startTime)
  const candidates = all.filter(({pid, startTime}) => Number(startTime) >= since && pid !== process.pid)
  const found = new Map(
    candidates
      .filter(
        (info) =>
          known.has(keyOf(info)) ||
          (isGroupOurs && info.group === root.pid) ||
          hasMarker(info.pid, marker) ||
          worksIn(info.pid, join(runDir, runFiles.tmp)) ||
          printsTo(info.pid, runDir),
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
    // It has just ended, or belongs to another user: the next look tells.
  }
}

/** Without /proc the group is all that can be reached. */
async function endGroup({root, graceMs, clock}: EndOptions): Promise<ProcessIdentity[]> {
  const begun = clock.monotonic()
  let isAsked = false
  while (sendGroup(root.pid, 0)) {
    const waited = clock.monotonic() - begun
    if (waited >= graceMs + killMs) return [root]
    if (waited >= graceMs) sendGroup(root.pid, 'SIGKILL')
    else if (!isAsked) sendGroup(root.pid, 'SIGTERM')
    isAsked = true
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
