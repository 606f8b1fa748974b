import {createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject} from 'node:crypto'

const prefix = 'ed25519:'

/** A public key whose signatures a worker trusts. */
export type TrustedKey = {
  /** The 32 bytes of the key (RFC 8032), in base64url. It is also the key's id in a JWS. */
  x: string
  /** What people call it. */
  name: string | undefined
}

/** A public key as settings take it: `ed25519:KEY`, or `ed25519:KEY NAME`. */
export const formatPublicKey = ({x, name}: TrustedKey): string => `${prefix}${x}${name ? ` ${name}` : ''}`

/** Whether a text looks like a public key. Otherwise it is the path of a file. */
export const isPublicKey = (text: string): boolean => text.startsWith(prefix)

/** Parses a public key. Returns undefined if it is none. */
export function parsePublicKey(text: string): TrustedKey | undefined {
  const [, x = '', name] = /^ed25519:([\w-]{43})(?:[ \t]+(\S.*))?$/.exec(text.trim()) ?? []
  const isCanonical = x !== '' && Buffer.from(x, 'base64url').toString('base64url') === x
  return isCanonical ? {x, name: name?.trim()} : undefined
}

export const generatePrivateKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey

/** A private key as PEM (PKCS #8, RFC 8410). */
export const privateKeyText = (key: KeyObject): string => String(key.export({type: 'pkcs8', format: 'pem'}))

/** Parses a private key. Returns undefined if it is none of Ed25519. */
export function parsePrivateKey(text: string): KeyObject | undefined {
  try {
    const key = createPrivateKey(text)
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined
  }
}

/** The public key of a private one. */
export const publicKeyOf = (key: KeyObject): TrustedKey => ({
  x: String(createPublicKey(key).export({format: 'jwk'}).x),
  name: undefined,
})
