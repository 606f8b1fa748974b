import {spawnSync} from 'node:child_process'
import {appendFileSync, mkdirSync, mkdtempSync, rmdirSync, statfsSync, truncateSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {errorCode} from '../../src/lib/core/errors.ts'

/** Why no private file system can be mounted here; undefined if it can. */
export function smallDiskProblem(): string | undefined {
  if (process.platform !== 'linux') return 'it needs Linux'
  if (process.getuid?.() !== 0) return 'it needs root'
  try {
    using _disk = smallDisk(1)
    return undefined
  } catch {
    return 'nothing can be mounted here'
  }
}

/** A file system of `mib` MiB, unmounted when disposed. */
export function smallDisk(mib: number) {
  const path = mkdtempSync(join(tmpdir(), 'a2a-disk-'))
  const {status, stderr} = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=700`, 'tmpfs', path])
  if (status !== 0) {
    rmdirSync(path)
    throw new Error(`mount: ${String(stderr)}`)
  }

  const filler = join(path, 'filler')
  const free = () => {
    const {bavail, bsize} = statfsSync(path)
    return bavail * bsize
  }
  return {
    path,
    free,
    /** Fills the disk until `left` bytes are free. */
    fill(left = 0): void {
      const block = Buffer.alloc(4096, 1)
      try {
        while (free() > left) appendFileSync(filler, block)
      } catch (error) {
        if (errorCode(error) !== 'ENOSPC') throw error // the worker has filled the rest
      }
    },
    clear: () => truncateSync(filler),
    folder(name: string): string {
      const folder = join(path, name)
      mkdirSync(folder, {recursive: true})
      return folder
    },
    [Symbol.dispose]() {
      spawnSync('umount', ['-l', path])
      rmdirSync(path)
    },
  }
}
