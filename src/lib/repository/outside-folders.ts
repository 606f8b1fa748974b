import {isInside, realPathOf} from '../core/paths/real-path.ts'
import {belongTogether, findGitFolders, isObjectStoreOf} from './git-folders.ts'

/** Folders outside of a codebase that git needs there. */
export type OutsideFolders = {
  /** Top directory of the working tree, if the codebase is only a part of it. */
  top?: string
  /** Git writes to these at each commit. */
  writable: string[]
  /** Git only reads these. */
  readable: string[]
  /**
   * Folders that the codebase names and that do not name it back, or belong to another user. Whoever can write to the
   * codebase can name any folder, so nobody may get rights on these because of that.
   */
  foreign: string[]
}

/** The folders that git needs outside of a codebase: of a linked worktree, a submodule, a shared clone, or a part of a tree. */
export function outsideFolders(path: string): OutsideFolders {
  const real = realPathOf(path)
  const git = findGitFolders(real)
  if (!git) return {writable: [], readable: [], foreign: []}
  const outside = (folders: string[]) =>
    [...new Set(folders.map(realPathOf))].filter((folder) => !isInside(folder, real))
  const written = outside([git.common, git.own])
  const read = outside(git.alternates)
  const isOwn = belongTogether(git)
  const isReadable = (folder: string) => isObjectStoreOf(folder, git)
  return {
    ...(git.top === real ? {} : {top: git.top}),
    // A linked worktree's own folder is usually inside the common one.
    writable: isOwn
      ? written.filter((folder) => !written.some((other) => other !== folder && isInside(folder, other)))
      : [],
    readable: read.filter(isReadable),
    foreign: [...(isOwn ? [] : written), ...read.filter((folder) => !isReadable(folder))],
  }
}
