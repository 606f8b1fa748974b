import {createHash} from 'node:crypto'
import {statSync} from 'node:fs'
import {readIfThere} from '../core/paths/read-if-there.ts'

/** The files that name a Linux machine: machine-id(5), and the older one of D-Bus. */
const files = ['/etc/machine-id', '/var/lib/dbus/machine-id']

/**
 * An id of this machine, or null if the system has none (macOS, some containers). It is hashed, because machine-id(5)
 * asks programs not to publish the id itself.
 */
export function machineId(): string | null {
  for (const file of files) {
    const id = readIfThere(file)?.trim() ?? ''
    if (/^[0-9a-f]{32}$/.test(id)) return createHash('sha256').update(`a2a-worker ${id}`).digest('hex').slice(0, 32)
  }

  return null
}

/** The id of an existing folder as `device:inode`. A copy of the folder has another one; a renamed folder keeps it. */
export function folderId(path: string): string {
  const {dev, ino} = statSync(path, {bigint: true})
  return `${dev}:${ino}`
}
