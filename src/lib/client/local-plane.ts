import {randomBytes} from 'node:crypto'
import {connect, type Socket} from 'node:net'
import {callbackify} from 'node:util'
import type {buildConnector} from 'undici'
import {errorCode, messageOf} from '../core/errors.ts'
import {isSameProof, localProof, proofHeader} from '../protocol/local-proof.ts'
import {pathTo} from '../protocol/routes.ts'

/** Where the control plane of this machine listens on loopback, and its token. */
export type LocalAddress = {url: string; port: number; token: string}

/** The control plane of this machine has ended. */
export class LocalPlaneEndedError extends Error {}

const proofMs = 5000
const maxAnswer = 16_384

const ended = 'the control plane of this machine has ended'

/**
 * Opens connections to the control plane of this machine for undici. Each one is used only after the program at the other
 * end has proved that it knows the token: the plane may have ended, and any program may listen on its port since. `read`
 * is called for each connection, because the plane may return on another port.
 */
export const localConnector =
  (read: () => LocalAddress | undefined): buildConnector.connector =>
  (_, callback) => {
    const address = read()
    if (address === undefined) return callback(new LocalPlaneEndedError(ended), null)
    openWithCallback(address, callback as (error: Error | null, socket: Socket) => void)
  }

/** Whether the control plane of this machine listens at this address. */
export async function isLocalPlane(address: LocalAddress): Promise<boolean> {
  try {
    const socket = await openProven(address)
    socket.destroy()
    return true
  } catch {
    return false
  }
}

/** A connection whose other end has proved that it knows the token. Throws LocalPlaneEndedError. */
async function openProven({port, token}: LocalAddress): Promise<Socket> {
  const nonce = randomBytes(24).toString('base64url')
  const socket = connect({host: '127.0.0.1', port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000})
  try {
    const answer = await exchange(
      socket,
      `HEAD ${pathTo('localProof', {}, {nonce})} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`,
    )
    const proof = new RegExp(`^${proofHeader}: *([0-9a-f]+) *$`, 'im').exec(answer)?.[1] ?? ''
    if (!isSameProof(proof, localProof({token, port, nonce})))
      throw new LocalPlaneEndedError(`${ended}, and another program uses its port`)
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

const openWithCallback = callbackify(openProven)

/** Sends a request without a body, and resolves with the head of the answer. An answer to HEAD has no more than that. */
function exchange(socket: Socket, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const finish = (error?: Error) => {
      clearTimeout(timer)
      socket.off('readable', read).off('error', fail).off('close', close)
      if (error) reject(error)
      else resolve(answer)
    }
    // `data` would let the socket flow, and the bytes after the head belong to the next reader
    const read = () => {
      for (let chunk: Buffer | null; (chunk = socket.read() as Buffer | null) !== null;)
        answer += chunk.toString('latin1')
      if (answer.includes('\r\n\r\n') || answer.length > maxAnswer) finish()
    }
    const fail = (error: Error) => {
      const isFree = errorCode(error) === 'ECONNREFUSED'
      const why = isFree ? 'nothing listens on its port (connection refused)' : messageOf(error)
      finish(new LocalPlaneEndedError(`${ended}, and ${why}`, {cause: error}))
    }
    const close = () => finish(new LocalPlaneEndedError(`${ended}, and another program uses its port`))
    const timer = setTimeout(() => finish(new LocalPlaneEndedError('whatever listens there does not answer')), proofMs)
    socket.on('error', () => {}) // also after the exchange, until the socket has its next reader
    socket.on('readable', read).on('error', fail).on('close', close)
    socket.write(request)
  })
}
