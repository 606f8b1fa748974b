import {mkdirSync} from 'node:fs'
import {dirname} from 'node:path'
import {errorCode} from '../../core/errors.ts'
import type {ProcessIdentity} from '../../executor/processes/processes.ts'
import {acquireLock, isLock, reacquireLock, type Lock} from './lock-file.ts'
import {isWorkerOrAgent, type LockHolder} from './lock-holder.ts'
import {workingTreeOf} from './working-tree.ts'

/** This worker's locks on working trees. A tree is locked inside this process first, then by its lock file. */
export class WorkingTreeLocks {
  readonly #stateDir: string
  /** Task id by key of the tree. */
  readonly #held = new Map<string, string>()

  constructor(stateDir: string) {
    this.#stateDir = stateDir
  }

  /**
   * Locks the tree of a run that an earlier process of this worker began. A lock held by `agent`, the run's live agent,
   * is taken over. Returns undefined if somebody else holds the lock, or if the path no longer exists.
   */
  reacquire(path: string, taskId: string, agent: ProcessIdentity | undefined): Lock | undefined {
    try {
      const {key, lockFile} = workingTreeOf(path, this.#stateDir)
      const lock = (agent && reacquireLock(lockFile, agent, `task ${taskId}`)) ?? acquire(lockFile, `task ${taskId}`)
      return isLock(lock) ? this.#hold(key, taskId, lock) : undefined
    } catch {
      return undefined
    }
  }

  /** Locks the tree of a path for a task, or returns the reason why it cannot. Throws if the path does not exist. */
  acquire(path: string, taskId: string): Lock | string {
    const tree = workingTreeOf(path, this.#stateDir)
    const other = this.#held.get(tree.key)
    if (other !== undefined) return `task ${other} runs in its working tree`
    const lock = acquire(tree.lockFile, `task ${taskId}`)
    if (!isLock(lock)) return describe(lock)
    return this.#hold(tree.key, taskId, lock)
  }

  #hold(key: string, taskId: string, lock: Lock): Lock {
    this.#held.set(key, taskId)
    return {
      transferTo: (process) => lock.transferTo(process),
      [Symbol.dispose]: () => {
        this.#held.delete(key)
        lock[Symbol.dispose]()
      },
    }
  }
}

/** Creates the folder for lock files outside git when it is first needed. */
function acquire(file: string, what: string): Lock | LockHolder {
  try {
    return acquireLock(file, what, isWorkerOrAgent)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    mkdirSync(dirname(file), {recursive: true, mode: 0o700})
    return acquireLock(file, what, isWorkerOrAgent)
  }
}

const describe = ({pid, what, since}: LockHolder) => `its working tree is held by ${what} (pid ${pid}, since ${since})`
