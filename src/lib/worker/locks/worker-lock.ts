import {join} from 'node:path'
import {diskFullError, isDiskFull} from '../../core/disk-full.ts'
import {ExpectedError} from '../../core/errors.ts'
import {acquireLock, isLock} from './lock-file.ts'

/**
 * Locks a worker's name for this process. `makeRoom` frees disk space and returns whether it could.
 * Throws ExpectedError: another process has this name (75), the disk is full (73).
 */
export function acquireWorkerLock(workerDir: string, name: string, makeRoom = () => false): Disposable {
  const acquire = () => acquireLock(join(workerDir, 'lock'), `worker ${name}`)
  const lock = withRoom(acquire, makeRoom, workerDir)
  if (isLock(lock)) return lock
  throw new ExpectedError(`A worker named '${name}' runs already: pid ${lock.pid}, since ${lock.since}.`, {
    code: 'WORKER_RUNNING',
    exit: 'temporary',
    suggestions: ['Stop it, or give this one another name with --name.'],
  })
}

/** On a full disk, tries once more if `makeRoom` freed space. A full disk proves that nobody else holds the lock. */
function withRoom<T>(acquire: () => T, makeRoom: () => boolean, workerDir: string): T {
  try {
    return acquire()
  } catch (error) {
    if (!isDiskFull(error)) throw error
    if (makeRoom()) return acquire()
    throw diskFullError(`no lock can be written in ${workerDir}`, workerDir, error)
  }
}
