import {readFileSync, statSync} from 'node:fs'
import {dirname, join, resolve} from 'node:path'

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
  const target = found && /^gitdir: (.+)$/m.exec(readText(marker) ?? '')?.[1]
  return target === undefined ? undefined : resolve(directory, target)
}

function alternatesOf(objects: string, known: Set<string>): string[] {
  const lines = readText(join(objects, 'info/alternates'))?.split('\n') ?? []
  for (const line of lines) {
    const path = resolve(objects, line.trim())
    if (line.trim() === '' || line.startsWith('#') || known.has(path)) continue
    known.add(path)
    alternatesOf(path, known)
  }

  return [...known]
}

const readLine = (path: string) => readText(path)?.split('\n')[0]?.trim() || undefined

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
