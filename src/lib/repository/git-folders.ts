import {lstatSync, statSync} from 'node:fs'
import {dirname, join, resolve} from 'node:path'
import {isInside, realPathOf} from '../core/paths/real-path.ts'
import {readIfThere} from '../core/paths/read-if-there.ts'

/** A git working tree and the folders in which git keeps its data. */
export type GitFolders = {
  /** The top directory of the working tree. */
  top: string
  /** The git folder of this working tree: its index and its HEAD. */
  own: string
  /** The git folder with branches and objects. It differs from `own` in a linked worktree. */
  common: string
  /** Object folders of other repositories that this one borrows from (`git clone --shared`). */
  alternates: string[]
}

/** The repository that a directory belongs to. Undefined if it belongs to none. `directory` must be a real path. */
export function findGitFolders(directory: string): GitFolders | undefined {
  for (let top = directory; ; top = dirname(top)) {
    const own = gitFolderIn(top)
    if (own !== undefined) {
      const common = resolve(own, readLine(join(own, 'commondir')) ?? '.')
      return {top, own, common, alternates: alternatesOf(join(common, 'objects'), new Set())}
    }

    if (dirname(top) === top) return undefined
  }
}

/** The `.git` folder in a directory, or the one that a `.git` file names: in a linked worktree and in a submodule. */
function gitFolderIn(directory: string): string | undefined {
  const marker = join(directory, '.git')
  const found = statSync(marker, {throwIfNoEntry: false})
  if (found?.isDirectory()) return marker
  const target = found && /^gitdir: (.+)$/m.exec(readIfThere(marker) ?? '')?.[1]
  return target === undefined ? undefined : resolve(directory, target)
}

function alternatesOf(objects: string, known: Set<string>): string[] {
  const lines = readIfThere(join(objects, 'info/alternates'))?.split('\n') ?? []
  for (const line of lines) {
    const path = resolve(objects, line.trim())
    if (line.trim() === '' || line.startsWith('#') || known.has(path)) continue
    known.add(path)
    alternatesOf(path, known)
  }

  return [...known]
}

/**
 * Whether these really are the git folders of the working tree: they belong to its owner, have the form of a repository
 * and name the working tree back. A `.git` file alone proves nothing: whoever can write to the working tree can write it.
 */
export function belongTogether({top, own, common}: GitFolders): boolean {
  const owner = uidOf(top)
  const isRepository = ['HEAD', 'objects', 'refs'].every((name) => uidOf(join(common, name)) !== undefined)
  return isRepository && uidOf(own) === owner && uidOf(common) === owner && namesBack({top, own, common})
}

function namesBack({top, own, common}: Omit<GitFolders, 'alternates'>): boolean {
  const marker = join(realPathOf(top), '.git')
  // A `commondir` in it names another folder, which anybody who can write there can do.
  if (realPathOf(own) === marker && realPathOf(common) === marker) return true
  // A linked worktree has its folder in the common one, with the path of its `.git` file. A submodule has a setting.
  if (own !== common)
    return (
      isInside(realPathOf(own), realPathOf(join(common, 'worktrees'))) &&
      namesPath(readLine(join(own, 'gitdir')), own, marker)
    )
  return namesPath(/^\s*worktree = (.+)$/m.exec(readIfThere(join(own, 'config')) ?? '')?.[1], own, realPathOf(top))
}

const namesPath = (text: string | undefined, base: string, wanted: string) =>
  text !== undefined && realPathOf(resolve(base, text)) === wanted

/** Whether the git folder of a working tree is a directory in it, so that nothing there chooses its place. */
export const hasOwnFolder = ({top, own}: GitFolders): boolean =>
  own === join(top, '.git') && lstatSync(own, {throwIfNoEntry: false})?.isDirectory() === true

/** Whether a folder has the form of git's object store, and belongs to the owner of the working tree. */
export const isObjectStoreOf = (folder: string, {top}: GitFolders): boolean =>
  ['pack', 'info', '../HEAD'].every((name) => uidOf(join(folder, name)) !== undefined) && uidOf(folder) === uidOf(top)

/** Undefined if there is nothing, or nothing that can be asked: whoever writes a `.git` file chooses the path. */
function uidOf(path: string): number | undefined {
  try {
    return statSync(path).uid
  } catch {
    return undefined
  }
}

const readLine = (path: string) => readIfThere(path)?.split('\n')[0]?.trim() || undefined
