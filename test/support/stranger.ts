import {spawnSync} from 'node:child_process'
import {dirname} from 'node:path'
import {root} from './cli.ts'

/** A user without an entry in passwd. */
export const strangerUid = 54_321

const asUser = ['setpriv', '--reuid', String(strangerUid), '--regid', String(strangerUid), '--clear-groups']

/**
 * Words to put before a command so that the stranger runs it. Needs root.
 *
 * A checkout can lie below a folder that only root may enter: `mktemp -d` makes such folders. There, an empty folder
 * that all may enter covers that folder, and the checkout is mounted in it at its own path. Only the command and its
 * children see this.
 */
export function asStranger(): string[] {
  const closed = closedFolder(root)
  if (closed === undefined) return asUser
  const steps = [
    'hidden=$(mktemp -d)',
    `mount --bind '${root}' "$hidden"`,
    `mount -t tmpfs -o mode=755 open '${closed}'`,
    `mkdir -p '${root}'`,
    `mount --move "$hidden" '${root}'`,
    'rmdir "$hidden"',
  ]
  return ['unshare', '--mount', 'sh', '-c', `${steps.join(' && ')} && exec "$@"`, 'sh', ...asUser]
}

/** The highest folder above `path` that the stranger may not enter; undefined if there is none. */
function closedFolder(path: string): string | undefined {
  const folder = dirname(path)
  const above = folder === path ? undefined : closedFolder(folder)
  const [command = '', ...rest] = [...asUser, 'test', '-x', folder]
  return above ?? (spawnSync(command, rest).status === 0 ? undefined : folder)
}
