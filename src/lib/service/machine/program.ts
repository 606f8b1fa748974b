import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import {dirname, join} from 'node:path'
import {programFiles} from './program-files.ts'
import {removeTree} from './safe-files.ts'

/** The running program: the folder of its package, and its Node. */
export type Program = {root: string; node: string}

/** The places of the copy. */
export type ProgramPlace = {app: string; node: string}

/** Whether the copy equals the program, byte for byte. */
export function isInstalled({root, node}: Program, place: ProgramPlace): boolean {
  const files = programFiles(root)
  const installed = filesBelow(place.app)
  return (
    installed.length === files.size &&
    installed.every((path) => files.has(path)) &&
    isSameFile(node, place.node) &&
    [...files].every(([to, from]) => isSameFile(from, join(place.app, to)))
  )
}

/** Copies the program beside the present copy, then swaps the two. A running worker keeps its open files. */
export function installProgram({root, node}: Program, place: ProgramPlace): void {
  const staging = mkdtempSync(join(dirname(place.app), '.new-'))
  try {
    const app = join(staging, 'app')
    for (const [to, from] of programFiles(root)) copy(from, join(app, to))
    copy(node, join(staging, 'node'))
    chmodFolders(app)
    removeTree(place.app, {root: '', isRoot: false})
    renameSync(app, place.app)
    mkdirSync(dirname(place.node), {recursive: true})
    chmodSync(dirname(place.node), 0o755)
    renameSync(join(staging, 'node'), place.node)
  } finally {
    rmSync(staging, {recursive: true, force: true})
  }
}

/** Copies a file so that everybody can read it, independent of the umask and the mode of the original. */
function copy(from: string, to: string): void {
  mkdirSync(dirname(to), {recursive: true})
  copyFileSync(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
  chmodSync(to, (statSync(from).mode & 0o100) === 0 ? 0o644 : 0o755)
}

function chmodFolders(folder: string): void {
  chmodSync(folder, 0o755)
  for (const entry of readdirSync(folder, {withFileTypes: true}))
    if (entry.isDirectory()) chmodFolders(join(folder, entry.name))
}

function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, {withFileTypes: true, recursive: true})
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
  } catch {
    return []
  }
}

const chunk = 1024 * 1024

function isSameFile(a: string, b: string): boolean {
  const stat = lstatSync(b, {throwIfNoEntry: false})
  // Another owner could change the copy later, and a link or a pipe is none.
  if (!stat?.isFile() || stat.uid !== process.getuid?.() || stat.size !== statSync(a).size) return false
  const [first, second] = [openSync(a, 'r'), openSync(b, 'r')]
  try {
    const [one, other] = [Buffer.alloc(Math.min(chunk, stat.size)), Buffer.alloc(Math.min(chunk, stat.size))]
    for (let at = 0; at < stat.size; at += chunk) {
      readSync(first, one, 0, one.length, at)
      readSync(second, other, 0, other.length, at)
      if (!one.equals(other)) return false
    }

    return true
  } finally {
    closeSync(first)
    closeSync(second)
  }
}
