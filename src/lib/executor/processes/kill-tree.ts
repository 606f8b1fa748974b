import {join} from 'node:path'
import type {Clock} from '../../core/clock.ts'
import {realPathOf} from '../../core/paths/real-path.ts'
import {runFiles} from '../spool/file-names.ts'
import {askAsUser, type AgentUser} from '../../opencode/program/agent-user.ts'
import type {RunGroup} from './run-groups.ts'
import {
  hasMarker,
  hasProc,
  identify,
  isAlive,
  lastPid,
  listProcesses,
  writesTo,
  readProcess,
  hasWorkingDirectoryIn,
  type ProcessIdentity,
} from './processes.ts'

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
  /** The control group of the run, if it has one. */
  group?: RunGroup | undefined
  /** The user that its processes run as, if it is another one. */
  user?: AgentUser | undefined
  /** The agent started so recently that all its processes have higher pids. Default: false. */
  isRecent?: boolean
}

/** How long to wait for a process that is starting another program to have an environment again. It takes microseconds, or as long as a busy machine lets it wait. */
const startingMs = 1000
/** How long to wait after SIGKILL. A process that is still alive then is stuck in the kernel, or belongs to another user. */
const killMs = 2000

/**
 * Ends all processes of a run and repeats until none is left. Resolves with those that could not be ended.
 *
 * A control group contains them all. Where the run has none, no single sign finds them all: the agent's shells have
 * process groups of their own, orphans lose their parent, and `env -i` loses the marker. A process belongs to the run by
 * any of: control group, process group, marker, ancestry (now or when last seen), working directory in the run's
 * temporary folder, output to one of the run's files.
 */
export async function endProcesses(options: EndOptions): Promise<ProcessIdentity[]> {
  if (!hasProc) return endGroup(options)
  const {graceMs, clock} = options
  const places = {...options, runDir: realPathOf(options.runDir)}
  const known = new Map([options.root, ...options.seen].map((identity) => [keyOf(identity), identity]))
  const terminated = new Set<string>()
  const startedAt = clock.monotonic()
  for (let pause = 2; ; pause = Math.min(pause * 2, 50)) {
    const {alive, isCertain} = members(places, known)
    const waited = clock.monotonic() - startedAt
    const isDone = alive.length === 0 && (isCertain || waited >= startingMs)
    if (isDone || waited >= graceMs + killMs) return alive
    if (waited >= graceMs) options.group?.kill()
    // Their parents may end before the next scan, so the processes are remembered by themselves from now on.
    for (const identity of alive) known.set(keyOf(identity), identity)
    const isOver = waited >= graceMs
    const told = isOver ? alive : alive.filter((identity) => !terminated.has(keyOf(identity)))
    sendAll(told, isOver ? 'SIGKILL' : 'SIGTERM', options.user)
    for (const identity of told) terminated.add(keyOf(identity))

    await clock.sleep(waited < graceMs ? Math.min(pause, graceMs - waited) : pause)
  }
}

const keyOf = ({pid, startTime}: ProcessIdentity) => `${pid} ${startTime}`

type Members = {
  alive: ProcessIdentity[]
  /** No other process might belong to the run, too. */
  isCertain: boolean
}

function members(options: EndOptions, known: ReadonlyMap<string, unknown>): Members {
  const youngest = lastPid()
  const found = scan(options, known, options.isRecent ? options.root.pid : undefined)
  if (found.alive.length > 0 || lastPid() === youngest) return found
  // A process that started another one and ended, both during the scan, has left one that the scan did not see.
  const {alive, isCertain} = scan(options, known, youngest)
  return {alive, isCertain: isCertain && found.isCertain}
}

/** Looks at all processes, or at those with a pid from `from` on if pids have not wrapped around since. */
function scan(
  {root, marker, runDir, group}: EndOptions,
  known: ReadonlyMap<string, unknown>,
  from: number | undefined,
) {
  const since = Number(root.startTime)
  const to = lastPid()
  const all = listProcesses(from !== undefined && to >= from ? {from, to} : undefined)
  // If the pid was reused, the group of that number belongs to another process.
  const isGroupOurs = (readProcess(root.pid)?.startTime ?? root.startTime) === root.startTime
  const candidates = all.filter(({pid, startTime}) => Number(startTime) >= since && pid !== process.pid)
  const starting: number[] = []
  const isMarked = (pid: number) => {
    const answer = hasMarker(pid, marker)
    if (answer === 'unknown') starting.push(pid)
    return answer === true
  }
  const found = new Map(
    candidates
      .filter(
        (info) =>
          known.has(keyOf(info)) ||
          (isGroupOurs && info.group === root.pid) ||
          isMarked(info.pid) ||
          hasWorkingDirectoryIn(info.pid, join(runDir, runFiles.tmp)) ||
          writesTo(info.pid, runDir),
      )
      .map(({pid, startTime}) => [pid, {pid, startTime}]),
  )
  for (let size = -1; size !== found.size;) {
    size = found.size
    for (const {pid, startTime, parent} of candidates) if (found.has(parent)) found.set(pid, {pid, startTime})
  }

  for (const pid of group?.pids() ?? []) if (!found.has(pid)) found.set(pid, identify(pid, group?.path))
  // Nothing leaves a control group, so with one no other process is in question.
  return {alive: [...found.values()], isCertain: group !== undefined || starting.every((pid) => found.has(pid))}
}

/** Those that /proc hides belong to the agent's user, so only that user, or a kill of their group, reaches them. */
function sendAll(processes: readonly ProcessIdentity[], signal: NodeJS.Signals, user: AgentUser | undefined): void {
  for (const identity of processes) if (identity.cgroup === undefined) send(identity, signal)
  const hidden = processes.filter((identity) => identity.cgroup !== undefined && isAlive(identity))
  if (!user || hidden.length === 0 || signal === 'SIGKILL') return
  askAsUser(user, ['/bin/sh', '-c', 'kill -TERM "$@"', 'sh', ...hidden.map(({pid}) => String(pid))])
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
