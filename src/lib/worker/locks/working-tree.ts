import {readFileSync, realpathSync, statSync} from 'node:fs'
import {dirname, join, resolve} from 'node:path'
import {isWritable} from '../../config/state-directory.ts'

/** A git working tree, or a directory outside git. One task at a time works in it, over all workers of the machine. */
export type WorkingTree = {
  /** `device:inode` of the top directory: the same for every path that leads there. */
  key: string
  lockFile: string
}

/** The working tree that contains a path. Throws when the path does not exist. */
export function workingTreeOf(path: string, stateDir: string): WorkingTree {
  const directory = realpathSync.native(path)
  const git = findGit(directory)
  const top = git?.top ?? directory
  const {dev, ino} = statSync(top)
  const key = `${dev}:${ino}`
  if (git && isWritable(git.folder)) return {key, lockFile: join(git.folder, 'a2a-worker.lock')}
  return {key, lockFile: join(stateDir, 'lanes', `${dev}-${ino}.lock`)}
}

/** The git folder of a working tree. A linked worktree has a folder of its own inside the main one. */
function findGit(directory: string): {top: string; folder: string} | undefined {
  for (let current = directory; ; current = dirname(current)) {
    const marker = join(current, '.git')
    const found = statSync(marker, {throwIfNoEntry: false})
    if (found?.isDirectory()) return {top: current, folder: marker}
    const target = found && readGitFile(marker)
    if (target) return {top: current, folder: resolve(current, target)}
    if (dirname(current) === current) return undefined
  }
}

/** The target of the `.git` file that a linked worktree has in place of a folder. */
function readGitFile(path: string): string | undefined {
  try {
    return /^gitdir: (.+)$/m.exec(readFileSync(path, 'utf8'))?.[1]
  } catch {
    return undefined
  }
}
