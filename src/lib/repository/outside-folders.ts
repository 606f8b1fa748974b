import {isInside, realPathOf} from '../core/paths/real-path.ts'
import {findGitFolders} from './git-folders.ts'

/** Folders outside of a codebase that git needs there. */
export type OutsideFolders = {
  /** Top directory of the working tree, if the codebase is only a part of it. */
  top?: string
  /** Git writes to these at each commit. */
  writable: string[]
  /** Git only reads these. */
  readable: string[]
}

/** The folders that git needs outside of a codebase: of a linked worktree, a submodule, a shared clone, or a part of a tree. */
export function outsideFolders(path: string): OutsideFolders {
  const real = realPathOf(path)
  const git = findGitFolders(real)
  if (!git) return {writable: [], readable: []}
  const isOutside = (folder: string) => !isInside(realPathOf(folder), real)
  const writable = [...new Set([git.common, git.own])].filter(isOutside)
  return {
    ...(git.top === real ? {} : {top: git.top}),
    // A linked worktree's own folder is usually inside the common one.
    writable: writable.filter((folder) => !writable.some((other) => other !== folder && isInside(folder, other))),
    readable: git.alternates.filter(isOutside),
  }
}
