import {createHash} from 'node:crypto'
import {join} from 'node:path'
import type {Environment} from '../config/file.ts'
import {isOurs, workerDirectory} from '../config/state-directory.ts'
import {ownerOf, shortFolder} from './short-folder.ts'

/** The path of a unix socket may have 107 bytes (sun_path, unix(7)). A longer path is replaced by a short one. */
const maxPathBytes = 100 // of which readingSocket adds five

/** The folder for the sockets of services. systemd creates it for the service's user and group. */
export const serviceSocketDir = '/run/a2a-worker'

/** The socket beside it by which the group of a service may read, and not steer. */
export const readingSocket = (path: string): string => path.replace(/(?:\.read)?\.sock$/, '.read.sock')

/** Whether the worker is a service, whose group may read. */
export const isOpenToGroup = (env: Environment): boolean => Boolean(env['RUNTIME_DIRECTORY'])

/** Path of the socket of a worker: in the runtime directory of the service or the user, or in the state directory. */
export function socketPath(env: Environment, stateDir: string, name: string): string {
  const runtime = env['RUNTIME_DIRECTORY']?.split(':')[0]
  const user =
    env['XDG_RUNTIME_DIR'] && isOurs(env['XDG_RUNTIME_DIR']) ? join(env['XDG_RUNTIME_DIR'], 'a2a-worker') : undefined
  const folder = runtime ?? (env['A2A_STATE_DIR'] ? undefined : user)
  const path = folder ? join(folder, `${name}.sock`) : join(workerDirectory(stateDir, name), 'worker.sock')
  if (Buffer.byteLength(path) <= maxPathBytes) return path
  const short = `${createHash('sha256').update(path).digest('hex').slice(0, 16)}.sock`
  const isShort = folder !== undefined && Buffer.byteLength(folder) < maxPathBytes - 24
  return join(isShort ? folder : shortFolder(ownerOf(stateDir)), `a2a-worker-${short}`)
}
