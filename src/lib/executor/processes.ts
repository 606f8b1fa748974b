import {existsSync, readFileSync, readdirSync, readlinkSync, realpathSync} from 'node:fs'
import {markerVariable} from '../opencode/program/environment.ts'
import type {ProcessIdentity} from './executor.ts'

/** One line of /proc. Entries vanish while they are read, and some are not ours to read: both count as not there. */
export type ProcessInfo = ProcessIdentity & {parent: number; group: number; session: number; state: string}

/** Without /proc (macOS) there are no start times, no markers and no descendants: only pids and groups. */
export const hasProc = existsSync('/proc/self/stat')
const hasChildren = existsSync('/proc/thread-self/children')

export function readProcess(pid: number): ProcessInfo | undefined {
  const stat = readText(`/proc/${pid}/stat`)
  // The name in the second field may hold spaces and brackets: the fields are counted from the last one.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  const startTime = fields?.[19]
  if (!fields || startTime === undefined) return undefined
  const [state = '', parent, group, session] = fields
  return {pid, startTime, state, parent: Number(parent), group: Number(group), session: Number(session)}
}

/** What tells the process `pid` from a later one of the same number. */
export const identify = (pid: number): ProcessIdentity => ({pid, startTime: readProcess(pid)?.startTime ?? ''})

/** Whether it is that very process and still runs: a zombie does not, even if nobody ever reaps it. */
export function isAlive({pid, startTime}: ProcessIdentity): boolean {
  if (!hasProc) return canSignal(pid)
  const info = readProcess(pid)
  return info !== undefined && info.startTime === startTime && hasNotEnded(info)
}

/** Clock ticks of a second, as /proc counts them: the same on every Linux. */
const ticks = 100

/** How long ago a process was started, in ms: by the kernel's count, which nobody can set. 0 where there is no such count. */
export function ageMs({startTime}: ProcessIdentity): number {
  const [uptime] = readText('/proc/uptime')?.split(' ') ?? []
  const age = Number(uptime) * 1000 - (Number(startTime) * 1000) / ticks
  return Number.isFinite(age) ? Math.max(0, age) : 0
}

export const hasNotEnded = ({state}: ProcessInfo) => state !== 'Z' && state !== 'X'

/** So few numbers are tried one by one: to list all of /proc takes longer. */
const fewPids = 64

/** All processes that have not ended; with `range` only those whose numbers are in it. */
export function listProcesses(range?: {from: number; to: number}): ProcessInfo[] {
  return pidsOf(range)
    .map((pid) => readProcess(pid))
    .filter((info) => info !== undefined && hasNotEnded(info)) as ProcessInfo[]
}

function pidsOf(range: {from: number; to: number} | undefined): number[] {
  if (!range) return pidsIn('/proc')
  const {from, to} = range
  if (to - from >= fewPids) return pidsIn('/proc').filter((pid) => pid >= from && pid <= to)
  const numbers = Array.from({length: Math.max(0, to - from + 1)}, (_, i) => from + i)
  return numbers.filter((pid) => existsSync(`/proc/${pid}/stat`))
}

/** The number that the youngest process of this pid namespace got; numbers grow and then come round (proc(5), loadavg). */
export const lastPid = () => Number(readText('/proc/loadavg')?.trim().split(' ').at(-1) ?? 0)

/** Whether the process was started with this very marker in its environment. */
export function hasMarker(pid: number, marker: string): boolean {
  const environment = readText(`/proc/${pid}/environ`, 'latin1')
  if (!environment) return false
  const entry = Buffer.from(`${markerVariable}=${marker}`).toString('latin1')
  return `\0${environment}\0`.includes(`\0${entry}\0`)
}

/** The marker that the process was started with: it says who has left it, if somebody has. */
export function markerOf(pid: number): string | undefined {
  const environment = readText(`/proc/${pid}/environ`, 'latin1')
  const entry = environment?.split('\0').find((line) => line.startsWith(`${markerVariable}=`))
  return entry && Buffer.from(entry.slice(markerVariable.length + 1), 'latin1').toString()
}

/** Whether the process works in `folder` or below it. */
export function worksIn(pid: number, folder: string): boolean {
  return isBelow(linkOf(pid, 'cwd'), folder)
}

/** As the system tells paths: without links. One that is not there stays as it is. */
export function realPathOf(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    return path
  }
}

/** Whether what the process prints goes to a file in `folder`: that is inherited, and outlives all other signs. */
export function printsTo(pid: number, folder: string): boolean {
  return filesOf(pid).some((file) => isBelow(file, folder))
}

/** All that descend from `roots` and have not ended, without the roots themselves. */
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

/** The kernel's own list of children where it has one, else a look at every process. */
function childReader(): (pid: number) => number[] {
  if (hasChildren)
    return (pid) =>
      pidsIn(`/proc/${pid}/task`).flatMap((thread) => {
        const text = readText(`/proc/${pid}/task/${thread}/children`)?.trim()
        return text ? text.split(' ').map(Number) : []
      })
  const all = hasProc ? listProcesses() : []
  return (pid) => all.filter(({parent}) => parent === pid).map((info) => info.pid)
}

let boot: string | undefined

/** Differs after each start of the machine; undefined where there is none. Start times count from there. */
export const bootId = (): string | undefined => (boot ??= readText('/proc/sys/kernel/random/boot_id')?.trim())

function pidsIn(folder: string): number[] {
  try {
    return readdirSync(folder)
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

function readText(path: string, encoding: 'utf8' | 'latin1' = 'utf8'): string | undefined {
  try {
    return readFileSync(path, encoding)
  } catch {
    return undefined
  }
}

function canSignal(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Whether a path is that folder or below it; both without links. */
export const isBelow = (path: string, folder: string) => `${path}/`.startsWith(`${folder}/`)

/** What the process prints to. */
export const filesOf = (pid: number): string[] => ['fd/1', 'fd/2'].map((name) => linkOf(pid, name))

/** Where a link of the process leads; empty where it has ended, or is another user's. */
export function linkOf(pid: number, name: string): string {
  try {
    return readlinkSync(`/proc/${pid}/${name}`)
  } catch {
    return ''
  }
}
