import {randomUUID} from 'node:crypto'
import {closeSync, constants, lstatSync, openSync, readlinkSync, rmSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {namesIn} from '../core/paths/read-if-there.ts'
import {isOfRun} from '../executor/processes/run-processes.ts'

/**
 * Node does not tell which process is at the other end of a socket. So a client that wants to steer the worker proves its
 * pid: it creates a file with a name that the worker has chosen, and keeps it open. The worker then looks into /proc.
 */
const fileOf = (socket: string, nonce: string) => join(dirname(socket), `.peer-${nonce}`)

export const newNonce = (): string => randomUUID()

/** The client's side: creates the file, until disposed. Throws what the file system throws. */
export function openProof(socket: string, nonce: string): Disposable {
  const path = fileOf(socket, /^[\w-]+$/.test(nonce) ? nonce : 'none')
  const file = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600)
  return {
    [Symbol.dispose]() {
      closeSync(file)
      rmSync(path, {force: true})
    },
  }
}

/** Why this process may not steer the worker. Undefined if it may: it is no agent, and not one of its processes. */
export function peerProblem(socket: string, nonce: string, pid: number): string | undefined {
  const path = fileOf(socket, nonce)
  const owner = lstatSync(path, {throwIfNoEntry: false})?.uid
  if (owner === undefined) return 'the command has not proved which process it is'
  // Only root can create a file of root's. It may be hidden in /proc.
  if (owner === 0 && process.getuid?.() !== 0) return undefined
  if (owner !== process.getuid?.() || !hasOpen(pid, path)) return 'the command has not proved which process it is'
  return isOfRun(pid) ? 'agents, and programs that they start, may only read' : undefined
}

const hasOpen = (pid: number, path: string) =>
  namesIn(`/proc/${pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`) === path
    } catch {
      return false
    }
  })
