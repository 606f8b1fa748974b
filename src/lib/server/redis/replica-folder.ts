import {mkdirSync, mkdtempSync, readdirSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {isRunning} from '../../core/is-running.ts'

/** In a container each process may have the same pid. */
const ownFolders = new Set<string>()

/** Makes a new folder for the copy of this process. Removes those of processes that have ended: each copy is made again. */
export function makeReplicaFolder(parent: string): string {
  mkdirSync(parent, {recursive: true, mode: 0o700})
  for (const name of readdirSync(parent)) {
    const pid = Number(/^replica-(\d+)-/.exec(name)?.[1] ?? 0)
    const path = join(parent, name)
    const isInUse = pid === process.pid ? ownFolders.has(path) : isRunning(pid)
    if (pid > 0 && !isInUse) rmSync(path, {recursive: true, force: true})
  }
  const own = mkdtempSync(join(parent, `replica-${process.pid}-`))
  ownFolders.add(own)
  return own
}
