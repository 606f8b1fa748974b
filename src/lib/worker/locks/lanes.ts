import {mkdirSync, readFileSync, realpathSync, statSync} from 'node:fs'
import {dirname, join, resolve} from 'node:path'
import {isWritable} from '../../config/state-directory.ts'
import {errorCode} from '../../core/errors.ts'
import type {ProcessIdentity} from '../../executor/executor.ts'
import {isLock, takeLock, takeOver, type Holder, type Lock} from './lock-file.ts'

/** A working tree: one task at a time works in it, whoever runs it. */
export type Lane = {
  /** `device:inode` of the tree's top: the same however it is reached. */
  key: string
  lockFile: string
}

/** The lane of a codebase: its git tree, else the directory itself. Throws when the directory is not there. */
export function laneOf(path: string, stateDir: string): Lane {
  const directory = realpathSync.native(path)
  const git = findGit(directory)
  const top = git?.top ?? directory
  const {dev, ino} = statSync(top)
  const key = `${dev}:${ino}`
  if (git && isWritable(git.folder)) return {key, lockFile: join(git.folder, 'a2a-worker.lock')}
  return {key, lockFile: join(stateDir, 'lanes', `${dev}-${ino}.lock`)}
}

/** The git folder of a tree; for a linked worktree, its own part of it. */
function findGit(directory: string): {top: string; folder: string} | undefined {
  for (let at = directory; ; at = dirname(at)) {
    const marker = join(at, '.git')
    const found = statSync(marker, {throwIfNoEntry: false})
    if (found?.isDirectory()) return {top: at, folder: marker}
    const target = found && worktreeOf(marker)
    if (target) return {top: at, folder: resolve(at, target)}
    if (dirname(at) === at) return undefined
  }
}

/** Where the file that stands for the git folder of a linked worktree points. */
function worktreeOf(marker: string): string | undefined {
  try {
    return /^gitdir: (.+)$/m.exec(readFileSync(marker, 'utf8'))?.[1]
  } catch {
    return undefined
  }
}

/** The lanes of this worker: each is taken inside this process first, then by its lock file among all. */
export class Lanes {
  readonly #stateDir: string
  readonly #taken = new Map<string, string>()

  constructor(stateDir: string) {
    this.#stateDir = stateDir
  }

  /**
   * Takes the lane of a path that a live agent of ours holds already, or that nobody holds; undefined where somebody else
   * has it, or where the path is not there any more.
   */
  retake(path: string, taskId: string, agent: ProcessIdentity | undefined): Lock | undefined {
    try {
      const {key, lockFile} = laneOf(path, this.#stateDir)
      const lock = (agent && takeOver(lockFile, agent, `task ${taskId}`)) ?? take(lockFile, `task ${taskId}`)
      return isLock(lock) ? this.#hold(key, taskId, lock) : undefined
    } catch {
      return undefined
    }
  }

  /** Takes the lane of a path for a task, or says in words why that cannot be. Throws when the path is not there. */
  take(path: string, taskId: string): Lock | string {
    const lane = laneOf(path, this.#stateDir)
    const other = this.#taken.get(lane.key)
    if (other !== undefined) return `task ${other} runs in its working tree`
    const lock = take(lane.lockFile, `task ${taskId}`)
    if (!isLock(lock)) return describe(lock)
    return this.#hold(lane.key, taskId, lock)
  }

  #hold(key: string, taskId: string, lock: Lock): Lock {
    this.#taken.set(key, taskId)
    return {
      handTo: (process) => lock.handTo(process),
      [Symbol.dispose]: () => {
        this.#taken.delete(key)
        lock[Symbol.dispose]()
      },
    }
  }
}

/** The folder of lanes without git is made when it is first needed. */
function take(file: string, what: string): Lock | Holder {
  try {
    return takeLock(file, what)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    mkdirSync(dirname(file), {recursive: true, mode: 0o700})
    return takeLock(file, what)
  }
}

const describe = ({pid, what, since}: Holder) => `its working tree is held by ${what} (pid ${pid}, since ${since})`
