import {spawnSync} from 'node:child_process'
import {createHash} from 'node:crypto'
import {existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statfsSync, writeFileSync} from 'node:fs'
import {basename, isAbsolute, join, relative} from 'node:path'
import {namesIn, readIfThere} from '../../core/paths/read-if-there.ts'
import {runFiles} from '../spool/file-names.ts'

/**
 * The control group of a run (cgroup v2, Documentation/admin-guide/cgroup-v2.rst of Linux). No process leaves it by a
 * fork, a new session or the loss of its parent, so it contains all processes of the run.
 */
export type RunGroup = {
  /** Folder of the group. Empty while it is not known. */
  readonly path: string
  /**
   * Program and arguments that start `command` inside of the group, so that it is there before it can fork. Its pid is
   * written to a file, and so known even if the process that started it is killed at once.
   */
  enter(pidFile: string, command: readonly string[]): [string, string[]]
  /** Its processes that have not ended, also those in groups below it. Empty if the group is gone. */
  pids(): number[]
  /** Kills all its processes at once: none can fork meanwhile. */
  kill(): void
  /** Removes the group, which must be empty. */
  remove(): void
}

/** Where the groups of runs are created. */
export type RunGroups = {
  /** Creates the group of a run, and records it in the run's folder. Throws if the system refuses that. */
  create(marker: string, runDir: string): RunGroup
  /** Groups of earlier runs of this owner whose marker is not in `known`. */
  unknown(owner: string, known: readonly string[]): RunGroup[]
}

/**
 * Names of groups: of the owner of the marker, and of the run. `owner` is the beginning of all markers of one worker
 * and state directory.
 */
const prefixOf = (owner: string) => `a2a-${digest(owner, 8)}-`
export const nameOf = (marker: string) => `${prefixOf(ownerOf(marker))}${digest(marker, 16)}`
/** See `markerOwner`. */
const ownerOf = (marker: string) => /^.*?@\d+-\d+(?=:)/.exec(marker)?.[0] ?? ''
/** The beginning of a hash, for names. */
export const digest = (text: string, length: number) => createHash('sha256').update(text).digest('hex').slice(0, length)

/** Whether a control group with this name belongs to a run of some worker. */
export const isNameOfGroup = (name: string): boolean => /^a2a-[0-9a-f]{8}-[0-9a-f]{16}(?:\.scope)?$/.test(name)

/** Whether this is the control group of a run of some worker, and not a folder that only looks like one. */
export function isRunGroup(path: string): boolean {
  try {
    return isNameOfGroup(basename(path)) && statfsSync(path).type === cgroup2
  } catch {
    return false
  }
}

/** CGROUP2_SUPER_MAGIC of statfs(2). */
const cgroup2 = 0x63677270

/**
 * The groups of runs below the group of this process. Undefined if this process may not create groups there, or move
 * processes into them: without cgroup v2, in most containers, and in a login session. A service has the right by
 * `Delegate=yes`.
 */
export function ownRunGroups(): RunGroups | undefined {
  const base = ownGroup(readIfThere('/proc/self/mountinfo') ?? '', readIfThere('/proc/self/cgroup') ?? '')
  return base !== undefined && mayUse(base) ? groupsBelow(base) : undefined
}

export const groupsBelow = (base: string): RunGroups => ({
  create(marker, runDir) {
    const path = join(base, nameOf(marker))
    mkdirSync(path, {recursive: true})
    clearRecord(runDir)
    writeFileSync(join(runDir, runFiles.group), path, {mode: 0o600})
    return groupAt(path)
  },
  unknown: (owner, known) => unknownIn(base, owner, known),
})

/** What an earlier start of the run has recorded says nothing about the next one. */
export function clearRecord(runDir: string): void {
  for (const name of [runFiles.group, runFiles.pid]) rmSync(join(runDir, name), {force: true})
}

/** The groups of this owner in a folder whose marker is not in `known`. */
export function unknownIn(base: string, owner: string, known: readonly string[]): RunGroup[] {
  const names = new Set(known.map(nameOf))
  const found = namesIn(base).filter((name) => name.startsWith(prefixOf(owner)) && !names.has(withoutSuffix(name)))
  return found.map((name) => groupAt(join(base, name)))
}

const withoutSuffix = (name: string) => name.replace(/\.scope$/, '')

/** The group that is recorded in the folder of a run. Undefined if it has none, or is gone. */
export function recordedGroup(marker: string, runDir: string): RunGroup | undefined {
  const path = readIfThere(join(runDir, runFiles.group))?.trim()
  // Only the name that the run must have counts: a record that was changed names no other group.
  if (path === undefined || !isAbsolute(path) || withoutSuffix(basename(path)) !== nameOf(marker)) return undefined
  return isRunGroup(path) ? groupAt(path) : undefined
}

/** The group of this folder, which need not exist. */
export const groupAt = (path: string): RunGroup => ({
  path,
  enter: (pidFile, command) => ['/bin/sh', enterGroup(path, pidFile, command)],
  pids: () => pidsBelow(path),
  kill() {
    try {
      writeFileSync(join(path, 'cgroup.kill'), '1')
    } catch {
      // It is gone.
    }
  },
  remove: () => removeGroup(path),
})

/** The pids of a group and of those below it. Zombies are not in it. `path` must not be empty. */
export const pidsBelow = (path: string): number[] => [
  ...(readIfThere(join(path, 'cgroup.procs')) ?? '').split('\n').filter(Boolean).map(Number),
  ...foldersIn(path).flatMap(pidsBelow),
]

function removeGroup(path: string): void {
  for (const below of foldersIn(path)) removeGroup(below)
  try {
    rmdirSync(path)
  } catch {
    // It is gone, or somebody has put a process into it.
  }
}

function foldersIn(path: string): string[] {
  try {
    const entries = readdirSync(path, {withFileTypes: true})
    return entries.filter((entry) => entry.isDirectory()).map(({name}) => join(path, name))
  } catch {
    return []
  }
}

const enterGroup = (path: string, pidFile: string, command: readonly string[]): string[] => [
  '-c',
  'echo 0 >"$0/cgroup.procs" && echo $$ >"$1" && shift && exec "$@"',
  path,
  pidFile,
  ...command,
]

/**
 * The folder of this process's group, from /proc/self/mountinfo (proc(5)) and /proc/self/cgroup (cgroups(7)).
 * Undefined if there is no cgroup v2, or if the group is outside of what is mounted here.
 */
export function ownGroup(mounts: string, groups: string): string | undefined {
  const group = /^0::(\/.*)$/m.exec(groups)?.[1]
  const mount = cgroupMount(mounts)
  if (group === undefined || mount === undefined) return undefined
  const below = relative(mount.root, group)
  return `${below}${group}`.includes('..') ? undefined : join(mount.point, below)
}

/** Where cgroup v2 is mounted, and which group is the top there. `mounts` is /proc/self/mountinfo. */
export function cgroupMount(mounts: string): {root: string; point: string} | undefined {
  const line = mounts.split('\n').find((each) => / - cgroup2 /.test(each))
  const [, , , root, point] = line?.split(' ') ?? []
  return root === undefined || point === undefined ? undefined : {root, point}
}

/** Tries it: a right to write may be missing anywhere on the way. */
function mayUse(base: string): boolean {
  const path = join(base, `a2a-probe-${process.pid}`)
  try {
    mkdirSync(path)
    const {status} = spawnSync('/bin/sh', enterGroup(path, '/dev/null', ['true']))
    return status === 0 && existsSync(join(path, 'cgroup.kill'))
  } catch {
    return false
  } finally {
    removeGroup(path)
  }
}
