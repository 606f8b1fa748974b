import {existsSync, readlinkSync} from 'node:fs'
import {markerVariable} from '../../opencode/program/environment.ts'
import {pidsBelow} from './run-groups.ts'
import {namesIn, readIfThere} from '../../core/paths/read-if-there.ts'

/** Distinguishes a process from a later one with the same pid. */
export type ProcessIdentity = {
  pid: number
  /** Clock ticks since boot, field 22 of /proc/PID/stat. Empty if /proc hides the process, which another user has. */
  startTime: string
  /** Folder of the control group that it is in, if /proc hides it. */
  cgroup?: string
}

/** An entry of /proc. Entries that vanish while they are read, or are not readable, count as absent. */
export type ProcessInfo = ProcessIdentity & {parent: number; group: number; session: number; state: string}

/** Without /proc (macOS) there are only pids and groups: no start times, markers or descendants. */
export const hasProc = existsSync('/proc/self/stat')
const hasChildren = existsSync('/proc/thread-self/children')

/** The fields of /proc/PID/stat (proc(5)) from the third on. */
function statFields(pid: number): string[] | undefined {
  const stat = readIfThere(`/proc/${pid}/stat`)
  // The name in the second field may contain spaces and brackets, so fields are counted from the last bracket.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
}

export function readProcess(pid: number): ProcessInfo | undefined {
  const fields = statFields(pid)
  const startTime = fields?.[19]
  if (!fields || startTime === undefined) return undefined
  const [state = '', parent, group, session] = fields
  return {pid, startTime, state, parent: Number(parent), group: Number(group), session: Number(session)}
}

/**
 * The identity of a process, which distinguishes it from a later one with the same pid. `cgroup` is the folder of the
 * control group of its run. Nothing else enters that, so there the pid alone is enough.
 */
export function identify(pid: number, cgroup?: string): ProcessIdentity {
  const startTime = readProcess(pid)?.startTime
  if (startTime !== undefined || cgroup === undefined) return {pid, startTime: startTime ?? ''}
  return {pid, startTime: '', cgroup}
}

/** Whether exactly this process still runs. A zombie does not, even if nobody reaps it. */
export function isAlive({pid, startTime, cgroup}: ProcessIdentity): boolean {
  if (!hasProc) return canSignal(pid)
  if (cgroup !== undefined) return pidsBelow(cgroup).includes(pid)
  const info = readProcess(pid)
  return info !== undefined && info.startTime === startTime && hasNotEnded(info)
}

/** Clock ticks per second in /proc: the same on every Linux. */
const ticksPerSecond = 100

/** The age of a process in ms, by the kernel's monotonic count. 0 where there is none. */
export function ageMs({startTime}: ProcessIdentity): number {
  if (startTime === '') return 0
  const [uptime] = readIfThere('/proc/uptime')?.split(' ') ?? []
  const age = Number(uptime) * 1000 - (Number(startTime) * 1000) / ticksPerSecond
  return Number.isFinite(age) ? Math.max(0, age) : 0
}

export const hasNotEnded = ({state}: ProcessInfo) => state !== 'Z' && state !== 'X'

/** Up to this many pids are tried one by one, which is faster than listing /proc. */
const fewPids = 64

/** All processes that have not ended, or those with a pid in `range`. */
export function listProcesses(range?: {from: number; to: number}): ProcessInfo[] {
  return pidsOf(range)
    .map((pid) => readProcess(pid))
    .filter((info) => info !== undefined && hasNotEnded(info)) as ProcessInfo[]
}

/** How many children of this process have ended and were not reaped. */
export const countZombies = (parent: number): number =>
  pidsIn('/proc').filter((pid) => {
    const info = readProcess(pid)
    return info?.state === 'Z' && info.parent === parent
  }).length

function pidsOf(range: {from: number; to: number} | undefined): number[] {
  if (!range) return pidsIn('/proc')
  const {from, to} = range
  if (to - from >= fewPids) return pidsIn('/proc').filter((pid) => pid >= from && pid <= to)
  const numbers = Array.from({length: Math.max(0, to - from + 1)}, (_, i) => from + i)
  return numbers.filter((pid) => existsSync(`/proc/${pid}/stat`))
}

/** The pid of the newest process in this pid namespace. Pids grow and then wrap around (proc(5), loadavg). */
export const lastPid = () => Number(readIfThere('/proc/loadavg')?.trim().split(' ').at(-1) ?? 0)

/**
 * Whether the process was started with this marker in its environment. `unknown`: it is just starting another program
 * (execve), and has no environment for a moment.
 */
export function hasMarker(pid: number, marker: string): boolean | 'unknown' {
  const entry = Buffer.from(`${markerVariable}=${marker}`).toString('latin1')
  const environment = environmentOf(pid)
  return environment === undefined ? 'unknown' : `\0${environment}\0`.includes(`\0${entry}\0`)
}

/** Undefined: the process is just starting another program. */
function environmentOf(pid: number): string | undefined {
  for (let look = 0; look < 10; look += 1) {
    const environment = readIfThere(`/proc/${pid}/environ`, 'latin1')
    if (environment !== '') return environment ?? ''
    const fields = statFields(pid)
    if (fields?.[0] === 'Z' || fields?.[0] === 'X') return ''
    // While a program is being started, its code has no address yet. Kernel threads have none, and no group either.
    if (fields?.[23] === '0') return fields[2] === '0' ? '' : undefined
    if (fields?.[47] === fields?.[48]) return ''
    // The program has been started since that look.
  }

  return undefined
}

/** The marker in the environment of the process, if it has one. Waits up to a second for a process that is just starting another program: on a busy machine it may have to wait itself. */
export function markerOf(pid: number): string | undefined {
  let environment = environmentOf(pid)
  for (let waited = 0; environment === undefined && waited < 1000; waited += 1) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    environment = environmentOf(pid)
  }

  const entry = environment?.split('\0').find((line) => line.startsWith(`${markerVariable}=`))
  return entry && Buffer.from(entry.slice(markerVariable.length + 1), 'latin1').toString()
}

/** Whether the process is a running worker. `start` sets its title, which replaces its command line. */
export const isWorkerProcess = (pid: number): boolean =>
  readIfThere(`/proc/${pid}/cmdline`)?.startsWith('a2a-worker ') === true

/** Whether the working directory of the process is `folder` or below it. */
export function hasWorkingDirectoryIn(pid: number, folder: string): boolean {
  return isBelow(linkOf(pid, 'cwd'), folder)
}

/** Whether the process writes its output to a file in `folder`. Descendants inherit that even if they lose all other signs. */
export function writesTo(pid: number, folder: string): boolean {
  return outputFilesOf(pid).some((file) => isBelow(file, folder))
}

/** All descendants of `roots` that have not ended, without the roots. */
export function descendantsOf(roots: Iterable<ProcessIdentity>): ProcessIdentity[] {
  const found: ProcessIdentity[] = []
  const queue = [...roots].filter((root) => isAlive(root)).map(({pid}) => pid)
  const known = new Set(queue)
  const children = childReader()
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const child of children(pid)) {
      const info = known.has(child) ? undefined : readProcess(child)
      if (!info || !hasNotEnded(info)) continue
      known.add(child)
      queue.push(child)
      found.push({pid: child, startTime: info.startTime})
    }
  }

  return found
}

/** Reads the kernel's list of children, or scans all processes where there is none. */
function childReader(): (pid: number) => number[] {
  if (hasChildren)
    return (pid) =>
      pidsIn(`/proc/${pid}/task`).flatMap((thread) => {
        const text = readIfThere(`/proc/${pid}/task/${thread}/children`)?.trim()
        return text ? text.split(' ').map(Number) : []
      })
  const all = hasProc ? listProcesses() : []
  return (pid) => all.filter(({parent}) => parent === pid).map((info) => info.pid)
}

let boot: string | undefined

/** An id that changes with each boot, if the system has one. Start times count from the boot. */
export const bootId = (): string | undefined => (boot ??= readIfThere('/proc/sys/kernel/random/boot_id')?.trim())

const pidsIn = (folder: string): number[] =>
  namesIn(folder)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)

function canSignal(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Whether a path is the folder or below it. Both must be real paths. */
export const isBelow = (path: string, folder: string) => `${path}/`.startsWith(`${folder}/`)

/** The files of standard output and standard error of the process. */
export const outputFilesOf = (pid: number): string[] => ['fd/1', 'fd/2'].map((name) => linkOf(pid, name))

/** All files that the process has open. Empty if it belongs to another user. */
export const openFilesOf = (pid: number): string[] => pidsIn(`/proc/${pid}/fd`).map((fd) => linkOf(pid, `fd/${fd}`))

/** The name of the program, of at most 15 characters. */
export const nameOfProcess = (pid: number): string => readIfThere(`/proc/${pid}/comm`)?.trim() ?? ''

/** The target of a link in /proc. Empty if the process has ended or belongs to another user. */
export function linkOf(pid: number, name: string): string {
  try {
    return readlinkSync(`/proc/${pid}/${name}`)
  } catch {
    return ''
  }
}
