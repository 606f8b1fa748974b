import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  type Stats,
} from 'node:fs'
import {dirname, join, resolve} from 'node:path'
import {errorCode} from '../../core/errors.ts'

/** An open folder. What is opened below it cannot be swapped for something else by whoever may write above it. */
export type Folder = Disposable & {
  fd: number
  stat: Stats
  /** The path of an entry, which leads through the open folder. */
  entry(name: string): string
}

const {O_RDONLY, O_DIRECTORY, O_NOFOLLOW} = constants
const hasDescriptorPaths = existsSync('/proc/self/fd')
/** As many links as a path may have on Linux. */
const maxLinks = 40

/** Opens the entry of a folder that is a folder. Throws if it is a link (ENOTDIR). */
function openEntry(path: string, shown: string): Folder {
  const fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  return {
    fd,
    stat: fstatSync(fd),
    entry: (name) => join(hasDescriptorPaths ? `/proc/self/fd/${fd}` : shown, name),
    [Symbol.dispose]: () => closeSync(fd),
  }
}

export type Walk = {
  /** The folder that counts as the root of the machine. */
  root: string
  /** Create missing folders. */
  creates?: boolean
  /** Root trusts nobody else. Another user has nothing to lose that others on the way could not take anyway. */
  isRoot: boolean
}

/**
 * Opens a folder step by step. Root follows only links that root has put into a folder of root (`/opt` of some
 * distributions): any other may have been put there by an agent. Throws if the path leads through such a link.
 */
export function openFolder(path: string, walk: Walk, links = 0): Folder {
  const {root, creates, isRoot} = walk
  let shown = root === '' ? '/' : root
  if (!isRoot) {
    if (creates) mkdirSync(join(shown, path), {recursive: true})
    return openEntry(`${join(shown, path)}/.`, join(shown, path))
  }

  if (creates) mkdirSync(shown, {recursive: true})
  let folder = openEntry(`${shown}/.`, shown)
  const names = path.split('/').filter((name) => name !== '')
  for (const [index, name] of names.entries()) {
    const above = folder
    shown = join(shown, name)
    try {
      if (creates) makeEntry(above.entry(name))
      const target = linkOfRoot(above, name)
      if (target !== undefined && root === '') {
        if (links >= maxLinks) throw new Error(`${shown} leads through too many links`)
        return openFolder(join(resolve(dirname(shown), target), ...names.slice(index + 1)), walk, links + 1)
      }

      folder = openEntry(above.entry(name), shown)
    } catch (error) {
      if (errorCode(error) !== 'ENOTDIR' && errorCode(error) !== 'ELOOP') throw error
      throw new Error(`${shown} is a link or no directory, which root does not follow`, {cause: error})
    } finally {
      above[Symbol.dispose]()
    }
  }

  return folder
}

/** Creates a folder, unless something has that name. */
export function makeEntry(path: string): void {
  try {
    mkdirSync(path, 0o755)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  }
}

/** Whether only root can change the entries of a folder. */
const isOfRoot = ({uid, mode}: Stats): boolean => uid === 0 && (mode & 0o002) === 0

function linkOfRoot(folder: Folder, name: string): string | undefined {
  const stat = lstatSync(folder.entry(name), {throwIfNoEntry: false})
  if (!stat?.isSymbolicLink() || stat.uid !== 0 || !isOfRoot(folder.stat)) return undefined
  return readlinkSync(folder.entry(name))
}

/** Opens a folder inside an open one. Throws if it is a link (ENOTDIR). */
export const openFolderIn = (folder: Folder, name: string): Folder => openEntry(folder.entry(name), folder.entry(name))

/** Opens the folder that contains a path, to write there. Root writes only where nobody else can. */
export function openParent(path: string, walk: Walk): Folder {
  const folder = openFolder(dirname(path), walk)
  if (!walk.isRoot || walk.root !== '' || isOfRoot(folder.stat)) return folder
  folder[Symbol.dispose]()
  throw new Error(`${dirname(path)} does not belong to root alone, so root writes nothing there`)
}
