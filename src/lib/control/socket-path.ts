import {createHash} from 'node:crypto'
import {join} from 'node:path'
import type {Environment} from '../config/file.ts'
import {isWritable, workerDirectory} from '../config/state-directory.ts'

/** A unix socket's path may have 107 bytes (sun_path, unix(7)); a longer one gets a short name. */
const maxPathBytes = 100

/** The sockets of services: systemd makes this folder, for the service's user and for the members of its group. */
export const serviceSocketDir = '/run/a2a-worker'

/** A service's socket is for its group too; any other for its user alone. */
export const socketMode = (env: Environment) => (env['RUNTIME_DIRECTORY'] ? 0o660 : 0o600)

/** Where a worker of this name listens: the service's runtime directory, else the user's, else the state directory. */
export function socketPath(env: Environment, stateDir: string, name: string): string {
  const runtime = env['RUNTIME_DIRECTORY']?.split(':')[0]
  const user =
    env['XDG_RUNTIME_DIR'] && isWritable(env['XDG_RUNTIME_DIR'])
      ? join(env['XDG_RUNTIME_DIR'], 'a2a-worker')
      : undefined
  const folder = runtime ?? (env['A2A_STATE_DIR'] ? undefined : user)
  const path = folder ? join(folder, `${name}.sock`) : join(workerDirectory(stateDir, name), 'worker.sock')
  if (Buffer.byteLength(path) <= maxPathBytes) return path
  const short = `${createHash('sha256').update(path).digest('hex').slice(0, 16)}.sock`
  return join(folder && Buffer.byteLength(folder) < maxPathBytes - 24 ? folder : '/tmp', `a2a-worker-${short}`)
}
