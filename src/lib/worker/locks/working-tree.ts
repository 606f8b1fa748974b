import {realpathSync, statSync} from 'node:fs'
import {join} from 'node:path'
import {isWritable} from '../../config/state-directory.ts'
import {realPathOf} from '../../core/paths/real-path.ts'
import {belongTogether, findGitFolders, hasOwnFolder} from '../../repository/git-folders.ts'

/** A git working tree, or a directory outside git. One task at a time works in it, over all workers of the machine. */
export type WorkingTree = {
  /** `device:inode` of the top directory: the same for every path that leads there. */
  key: string
  lockFile: string
}

/**
 * The working tree that contains a path. Its lock is in its git folder, so that all workers of the machine see it. A
 * `.git` file that names a folder which does not name the tree back chooses no place. Throws when the path does not exist.
 */
export function workingTreeOf(path: string, stateDir: string): WorkingTree {
  const directory = realpathSync.native(path)
  const git = findGitFolders(directory)
  const top = git?.top ?? directory
  const {dev, ino} = statSync(top)
  const key = `${dev}:${ino}`
  if (git && (hasOwnFolder(git) || belongTogether(git)) && isWritable(git.own))
    return {key, lockFile: join(realPathOf(git.own), 'a2a-worker.lock')}
  return {key, lockFile: join(stateDir, 'lanes', `${dev}-${ino}.lock`)}
}
