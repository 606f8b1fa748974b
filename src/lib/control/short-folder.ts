import {chmodSync, lstatSync, mkdirSync, statSync} from 'node:fs'
import {dirname} from 'node:path'
import {errorCode, ExpectedError} from '../core/errors.ts'

const folders = '/tmp/a2a-worker-'

/**
 * The folder for sockets whose path would be too long. Everybody may write in /tmp, so it has the uid of its owner in its
 * name: server and clients use it only if it belongs to that user, and to nobody else.
 */
export const shortFolder = (uid: number): string => `${folders}${uid}`

/** The user whose worker has this state directory. If there is none, this user. */
export function ownerOf(stateDir: string): number {
  try {
    return statSync(stateDir).uid
  } catch {
    return process.getuid?.() ?? 0
  }
}

/** Creates the folder of a socket in /tmp, if it is one. Throws ExpectedError (73) if somebody else has taken it. */
export function makeShortFolder(socket: string): void {
  const folder = dirname(socket)
  if (!folder.startsWith(folders)) return
  try {
    mkdirSync(folder, {mode: 0o700})
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  }

  if (describe(folder) === 'others may use it') chmodSync(folder, 0o700) // ours: a link or another owner comes first
  checkShortFolder(socket)
}

/** Throws ExpectedError (73) if the socket is in a folder in /tmp that is not that of its user alone. */
export function checkShortFolder(socket: string): void {
  const folder = dirname(socket)
  const problem = folder.startsWith(folders) ? describe(folder) : undefined
  if (problem === undefined) return
  throw new ExpectedError(`The folder ${folder} of the local socket is not used: ${problem}.`, {
    code: 'SOCKET_TAKEN',
    exit: 'cannotWrite',
    suggestions: [
      'Remove that folder, or give the state directory a shorter path (A2A_STATE_DIR), so that the socket fits in it.',
    ],
  })
}

/** What is wrong with the folder. Undefined if nothing is, or if it does not exist. */
function describe(folder: string): string | undefined {
  const found = lstatSync(folder, {throwIfNoEntry: false})
  if (!found) return undefined
  if (!found.isDirectory()) return 'it is no folder, but a link or a file'
  const uid = folder.slice(folders.length)
  if (String(found.uid) !== uid) return `it belongs to uid ${found.uid}, not to ${uid}`
  return (found.mode & 0o077) === 0 ? undefined : 'others may use it'
}
