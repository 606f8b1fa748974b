import {chmodSync, lstatSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {namesIn} from '../core/paths/read-if-there.ts'

const ownFiles = /^(?:local\.json|opencode\.json|(?:control-plane|server)\.db)/
const ownFolders = new Set(['workers', 'copied', 'lanes', 'scratch'])
/** What else is in the state directory of a service: see its unit. */
const alsoOurs = new Set(['home', 'tmp'])

/**
 * Takes from all other users what an earlier version, a copy or a wrong `chmod` gave them: folders of the state become
 * 0700, files 0600. Returns the paths that were changed. Runs are in closed folders, so they are not searched. Only names
 * of ours are touched, because somebody may have chosen a directory that contains other things as well.
 */
export function repairModes(stateDir: string): string[] {
  const names = namesIn(stateDir)
  const isOnlyOurs = names.every((name) => ownFiles.test(name) || ownFolders.has(name) || alsoOurs.has(name))
  const folders = names.filter((name) => ownFolders.has(name)).map((name) => join(stateDir, name))
  const workers = namesIn(join(stateDir, 'workers')).map((name) => join(stateDir, 'workers', name))
  const runs = workers.map((path) => join(path, 'runs'))
  return [
    ...(isOnlyOurs ? [stateDir] : []),
    ...folders,
    ...workers,
    ...runs,
    ...names.filter((name) => ownFiles.test(name)).map((name) => join(stateDir, name)),
    ...[join(stateDir, 'lanes'), ...workers].flatMap(filesIn),
  ].filter(close)
}

const filesIn = (folder: string): string[] => {
  try {
    const entries = readdirSync(folder, {withFileTypes: true})
    return entries.filter((entry) => entry.isFile()).map(({name}) => join(folder, name))
  } catch {
    return []
  }
}

/**
 * Removes the rights of others from a file or folder of this user. Returns whether there were any. A link is left alone.
 * The file is not opened: closing it would release the locks that this process has on its databases (fcntl(2)).
 */
function close(path: string): boolean {
  try {
    const stat = lstatSync(path)
    const isOurs = stat.uid === process.geteuid?.() && (stat.isFile() || stat.isDirectory())
    if (!isOurs || (stat.mode & 0o077) === 0) return false
    chmodSync(path, stat.mode & 0o700)
    return true
  } catch {
    return false // it is gone
  }
}

/** For the log. */
export const repairText = (paths: readonly string[]) =>
  `Other users could read files of the state directory. They no longer can: ${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ` and ${paths.length - 3} more` : ''}`
