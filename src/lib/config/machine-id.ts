import {createHash} from 'node:crypto'
import {readFileSync, statSync} from 'node:fs'

/** The files that name a Linux machine: machine-id(5), and the older one of D-Bus. */
const files = ['/etc/machine-id', '/var/lib/dbus/machine-id']

/**
 * An id of this machine, or null if the system has none (macOS, some containers). It is hashed, because machine-id(5)
 * asks programs not to publish the id itself.
 */
export function machineId(): string | null {
  for (const file of files) {
    const id = readId(file)
    if (/^[0-9a-f]{32}$/.test(id)) return createHash('sha256').update(`a2a-worker ${id}`).digest('hex').slice(0, 32)
  }

  return null
}

function readId(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return ''
  }
}

/** The id of an existing folder as `device:inode`. A copy of the folder has another one; a renamed folder keeps it. */
export function folderId(path: string): string {
  const {dev, ino} = statSync(path, {bigint: true})
  return `${dev}:${ino}`
}
