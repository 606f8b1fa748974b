import {createHmac, timingSafeEqual} from 'node:crypto'

/** The answer's header with the proof. */
export const proofHeader = 'a2a-proof'

/** A challenge: random, and long enough that no answer can be prepared. */
export const isNonce = (text: string | undefined): text is string => /^[\w-]{20,100}$/.test(text ?? '')

/**
 * Proves that the program which answers on this port of loopback knows the token, without showing the token. The port is
 * part of the proof, so that another program cannot pass the challenge on to the control plane at another port.
 */
export const localProof = ({token, port, nonce}: {token: string; port: number; nonce: string}): string =>
  createHmac('sha256', token).update(`a2a-worker local control plane\n${port}\n${nonce}`).digest('hex')

/** Compares two proofs in constant time. */
export const isSameProof = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
