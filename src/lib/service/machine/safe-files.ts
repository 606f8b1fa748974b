import {randomUUID} from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import {basename, dirname} from 'node:path'
import {makeEntry, openFolder, openFolderIn, openParent, type Folder, type Walk} from './open-folder.ts'

export type Ownership = {mode: number; ids: {uid: number; gid: number} | undefined}

const {O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW} = constants

/** Creates a folder, or gives the existing one this owner and mode. */
export function makeFolder(path: string, {mode, ids}: Ownership, walk: Walk): void {
  using parent = openParent(path, {...walk, creates: true})
  const entry = parent.entry(basename(path))
  makeEntry(entry)
  const fd = openSync(entry, O_RDONLY | O_DIRECTORY | (walk.isRoot ? O_NOFOLLOW : 0))
  try {
    if (ids) fchownSync(fd, ids.uid, ids.gid)
    fchmodSync(fd, mode)
  } finally {
    closeSync(fd)
  }
}

/** Replaces a file atomically. Never writes through a link, and sets the owner of nothing but its own new file. */
export function replaceFile(path: string, text: string, {mode, ids}: Ownership, walk: Walk): void {
  using parent = openParent(path, {...walk, creates: true})
  const temporary = parent.entry(`.${basename(path)}.${randomUUID()}`)
  try {
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    try {
      writeFileSync(fd, text)
      if (ids) fchownSync(fd, ids.uid, ids.gid)
      fchmodSync(fd, mode)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }

    renameSync(temporary, parent.entry(basename(path)))
  } finally {
    rmSync(temporary, {force: true})
  }
}

/** Renames a file inside of folders that belong to root alone. */
export function moveFile(from: string, to: string, walk: Walk): void {
  using source = openParent(from, walk)
  using target = openParent(to, walk)
  renameSync(source.entry(basename(from)), target.entry(basename(to)))
}

/** Removes a file, a link, or a folder with all that it contains. Follows no link, also while others change the tree. */
export function removeTree(path: string, walk: Walk): void {
  using parent = openFolder(dirname(path), walk)
  removeEntry(parent, basename(path))
}

function removeEntry(parent: Folder, name: string): void {
  const path = parent.entry(name)
  const stat = lstatSync(path, {throwIfNoEntry: false})
  if (!stat) return
  if (!stat.isDirectory()) return unlinkSync(path)
  {
    using folder = openFolderIn(parent, name)
    for (const inner of readdirSync(folder.entry(''))) removeEntry(folder, inner)
  }
  rmdirSync(path)
}

/** Removes a folder if it is empty. */
export function removeEmptyFolder(path: string, walk: Walk): void {
  using parent = openParent(path, walk)
  rmdirSync(parent.entry(basename(path)))
}
