import {realpathSync, statSync} from 'node:fs'
import {join} from 'node:path'
import {isWritable} from '../../config/state-directory.ts'
import {findGitFolders} from '../../repository/git-folders.ts'

/** A git working tree, or a directory outside git. One task at a time works in it, over all workers of the machine. */
export type WorkingTree = {
  /** `device:inode` of the top directory: the same for every path that leads there. */
  key: string
  lockFile: string
}

/** The working tree that contains a path. Throws when the path does not exist. */
export function workingTreeOf(path: string, stateDir: string): WorkingTree {
  const directory = realpathSync.native(path)
  const git = findGitFolders(directory)
  const top = git?.top ?? directory
  const {dev, ino} = statSync(top)
  const key = `${dev}:${ino}`
  if (git && isWritable(git.own)) return {key, lockFile: join(git.own, 'a2a-worker.lock')}
  return {key, lockFile: join(stateDir, 'lanes', `${dev}-${ino}.lock`)}
}
