import {lstatSync, rmSync, statSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {isInside, realPathOf} from '../../core/paths/real-path.ts'
import {linkOf, listProcesses, nameOfProcess, openFilesOf} from '../../executor/processes/processes.ts'
import {askAsUser, type AgentUser} from '../../opencode/program/agent-user.ts'
import {belongTogether, findGitFolders, hasOwnFolder, type GitFolders} from '../../repository/git-folders.ts'
import {namesIn, readIfThere} from '../../core/paths/read-if-there.ts'

/** A lock file of git. While it exists, git refuses to write there. */
export type GitLock = {path: string; changedAt: number; uid: number}

type Place = {
  /** A codebase. */
  path: string
  /** OpenCode's data folder. It has a repository with snapshots of each working tree. */
  dataDir: string
}

type EndedRunPlace = Place & {
  since: number
  /** The user that the agent ran as, if it was another one. */
  user?: AgentUser | undefined
}

/** The lock files of git in the repository of a codebase, and in OpenCode's snapshots of it. */
export function findGitLocks({path, dataDir}: Place): GitLock[] {
  const git = findGitFolders(realPathOf(path))
  if (!git) return []
  const files = [...repositoryLocks(git), ...snapshotLocks(git.top, dataDir)]
  return [...new Set(files)].flatMap((file) => {
    const stat = lstatSync(file, {throwIfNoEntry: false})
    return stat ? [{path: file, changedAt: stat.mtimeMs, uid: stat.uid}] : []
  })
}

/**
 * Removes the locks that a run has left. The caller guarantees that the run held the lock of the working tree since
 * `since`, and that all its processes have ended. So a lock of this user from that time was made by the run, unless a
 * git of somebody else is at work there. Returns all locks that it found.
 */
export function clearGitLocks({since, user, ...place}: EndedRunPlace): {removed: GitLock[]; left: GitLock[]} {
  const found = findGitLocks(place)
  if (found.length === 0) return {removed: [], left: []}
  const top = findGitFolders(realPathOf(place.path))?.top ?? place.path
  const isOfRun = ({changedAt, uid}: GitLock) =>
    changedAt >= since - clockToleranceMs && uid === (user?.uid ?? process.getuid?.())
  const removed = isGitAtWork(top, found) ? [] : found.filter(isOfRun)
  removeFiles(
    removed.map(({path}) => path),
    user,
  )
  return {removed, left: found.filter((lock) => !removed.includes(lock))}
}

function removeFiles(paths: readonly string[], user: AgentUser | undefined): void {
  if (!user) for (const path of paths) rmSync(path, {force: true})
  else if (paths.length > 0) askAsUser(user, ['rm', '-f', '--', ...paths])
}

/** File systems use a clock that is some ms behind. */
const clockToleranceMs = 20

/**
 * Only locks of this working tree: others in the common folder may belong to an agent in a linked worktree. Whoever can
 * write there can name any folder and any branch, so no path leads out of the git folders that belong to the tree.
 */
function repositoryLocks(git: GitFolders): string[] {
  const {own, common} = git
  const isCommon = belongTogether(git)
  const branch = /^ref: (refs\/\S+)/.exec(readIfThere(join(own, 'HEAD')) ?? '')?.[1]
  const branchLock = branch !== undefined && isCommon ? join(common, `${branch}.lock`) : undefined
  const isWithin = branchLock !== undefined && isInside(realPathOf(dirname(branchLock)), realPathOf(common))
  return [
    ...(isCommon || hasOwnFolder(git) ? ['index.lock', 'HEAD.lock'].map((name) => join(own, name)) : []),
    ...(isWithin ? [branchLock] : []),
  ]
}

/** OpenCode keeps snapshots in `snapshot/PROJECT/HASH`, in older versions in `snapshot/PROJECT`. */
function snapshotLocks(top: string, dataDir: string): string[] {
  const base = join(dataDir, 'snapshot')
  const projects = namesIn(base).map((name) => join(base, name))
  const stores = projects.flatMap((project) => [project, ...namesIn(project).map((name) => join(project, name))])
  return stores
    .map((store) => ({store, lock: join(store, 'index.lock')}))
    .filter(({lock}) => statSync(lock, {throwIfNoEntry: false}) !== undefined)
    .filter(({store}) => /^\s*worktree = (.+)$/m.exec(readIfThere(join(store, 'config')) ?? '')?.[1] === top)
    .map(({lock}) => lock)
}

/**
 * Whether a git of this user is at work in a working tree, or a process has one of the locks open. (A git that waits for
 * an editor holds its lock without having it open.)
 */
function isGitAtWork(top: string, locks: readonly GitLock[]): boolean {
  const paths = new Set(locks.map(({path}) => realPathOf(path)))
  return listProcesses().some(({pid}) => {
    const isGit = /^git\b/.test(nameOfProcess(pid)) && isInside(linkOf(pid, 'cwd'), top)
    return isGit || openFilesOf(pid).some((file) => paths.has(file))
  })
}
