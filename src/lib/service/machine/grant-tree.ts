import {closeSync, constants, fstatSync, openSync, readdirSync, type Stats} from 'node:fs'
import {errorCode} from '../../core/errors.ts'
import {fileEntries, folderEntries, type Grant} from './acl.ts'
import type {Machine} from './machine.ts'
import {openFolder, openFolderIn, type Folder} from './open-folder.ts'

/** Opens an entry itself, whatever it is, without reading it (open(2)). Node has no name for it. */
const O_PATH = 0o10000000
/** So many files are open at once. */
const batchSize = 256

/**
 * Gives rights on a folder and its contents. `setfacl -R` as root looks at a name and then changes what it leads to:
 * an agent in the tree could swap a file for a link in between. Here each entry is opened first, and setfacl gets the
 * open entry. Links are skipped, and so are files of somebody else that also have a name elsewhere.
 */
export async function grantTree(grant: Grant, machine: Machine): Promise<void> {
  const user = await machine.lookUp(grant.user)
  using top = openFolder(grant.path, machine.walk)
  const owners = new Set([top.stat.uid, user?.uid])
  const isGranted = (stat: Stats) => stat.isFile() && (stat.nlink === 1 || owners.has(stat.uid))
  await grantFolder(top, {isGranted, set: setter(grant, machine)})
}

type Parts = {
  isGranted: (stat: Stats) => boolean
  set: (kind: 'folder' | 'file', descriptors: readonly number[]) => Promise<void>
}

async function grantFolder(folder: Folder, parts: Parts): Promise<void> {
  await parts.set('folder', [folder.fd])
  const names = readdirSync(folder.entry(''), {withFileTypes: true})
  const [folders, others] = [
    names.filter((entry) => entry.isDirectory()),
    names.filter((entry) => !entry.isDirectory()),
  ]
  for (let at = 0; at < others.length; at += batchSize)
    await grantFiles(
      folder,
      others.slice(at, at + batchSize).map(({name}) => name),
      parts,
    )
  for (const {name} of folders) {
    using inner = tryOpen(() => openFolderIn(folder, name))
    if (inner) await grantFolder(inner, parts)
  }
}

async function grantFiles(folder: Folder, names: readonly string[], {isGranted, set}: Parts): Promise<void> {
  const opened: number[] = []
  try {
    for (const name of names) {
      const fd = tryOpen(() => openSync(folder.entry(name), O_PATH | constants.O_NOFOLLOW))
      if (fd !== undefined) opened.push(fd)
    }

    const granted = opened.filter((fd) => isGranted(fstatSync(fd)))
    if (granted.length > 0) await set('file', granted)
  } finally {
    for (const fd of opened) closeSync(fd)
  }
}

/** Undefined if the entry is gone or was swapped for something else since it was listed. */
function tryOpen<T>(open: () => T): T | undefined {
  try {
    return open()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

const setter =
  (grant: Grant, machine: Machine): Parts['set'] =>
  async (kind, descriptors) => {
    const entries = kind === 'folder' ? folderEntries(grant) : fileEntries(grant)
    const paths = descriptors.map((fd) => `/proc/${process.pid}/fd/${fd}`)
    const {code, stderr} = await machine.run(['setfacl', ...entries, ...paths])
    if (code !== 0) throw new Error(stderr.trim() || `setfacl ended with ${code}`)
  }
