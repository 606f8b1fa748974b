import {closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeFileSync} from 'node:fs'
import type {KeyObject} from 'node:crypto'
import {homedir} from 'node:os'
import {dirname, isAbsolute, join} from 'node:path'
import type {Config} from '../config/settings.ts'
import {cannotWriteError} from '../config/state-directory.ts'
import {readPrivateText} from '../config/token.ts'
import {configError, errorCode, ExpectedError, messageOf} from '../core/errors.ts'
import {isPublicKey, parsePrivateKey, parsePublicKey, privateKeyText, type TrustedKey} from './keys.ts'

/** Writes a private key to a new file (0600). Throws ExpectedError (73): an existing file is never overwritten. */
export function writePrivateKey(path: string, key: KeyObject): void {
  try {
    mkdirSync(dirname(path), {recursive: true, mode: 0o700})
    // O_EXCL follows no link either
    const file = openSync(path, 'wx', 0o600)
    try {
      writeFileSync(file, privateKeyText(key))
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw cannotWriteError(path, error)
    throw new ExpectedError(`${path} exists. A key is never overwritten.`, {
      code: 'KEY_EXISTS',
      exit: 'cannotWrite',
      suggestions: ['Give another file, or move that one away: tasks signed with it stay valid until they expire.'],
    })
  }
}

/** Reads a private key from a file that only this user may read. Throws ExpectedError (78). */
export function readPrivateKey(path: string): KeyObject {
  const key = parsePrivateKey(readPrivateText(path, 'key', 'signing_key'))
  if (key) return key
  throw configError(`${path} contains no private Ed25519 key.`, `Make one: a2a-worker keys generate FILE`)
}

/**
 * The keys of `trusted_keys`: public keys, and files with one key per line. Files are read at each call, so that a key
 * that was removed is not trusted any more. Throws ExpectedError (78): a file that cannot be read trusts nobody.
 */
export const readTrustedKeys = (entries: readonly string[]): TrustedKey[] =>
  entries.flatMap((entry) => (isPublicKey(entry) ? [parse(entry, 'trusted_keys')] : readKeyFile(entry)))

/** Throws ExpectedError (78) if tasks are verified and there is no trusted key, or the keys cannot be read. */
export function checkTrustedKeys({verify_tasks, trusted_keys}: Pick<Config, 'verify_tasks' | 'trusted_keys'>): void {
  if (verify_tasks === 'off' || readTrustedKeys(trusted_keys).length > 0) return
  throw configError(
    `verify_tasks is ${verify_tasks}, but no key is trusted: no task would count as signed.`,
    'Set trusted_keys to the line that `a2a-worker keys generate` prints.',
  )
}

function readKeyFile(entry: string): TrustedKey[] {
  const path = entry.startsWith('~/') ? join(homedir(), entry.slice(2)) : entry
  if (!isAbsolute(path))
    throw configError(
      `trusted_keys has an entry that is neither a public key nor a full path: ${JSON.stringify(entry.slice(0, 100))}.`,
      'A key looks like ed25519:…; `a2a-worker keys generate` prints it.',
    )
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw configError(`The file ${path} of trusted_keys cannot be read: ${messageOf(error)}.`, 'Check trusted_keys.')
  }

  const lines = text.split('\n').map((line) => line.trim())
  return lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => parse(line, path))
}

function parse(text: string, source: string): TrustedKey {
  const key = parsePublicKey(text)
  if (key) return key
  throw configError(
    `${source} has a key that is none: ${JSON.stringify(text.slice(0, 100))}.`,
    'A key looks like ed25519:…; `a2a-worker keys generate` prints it.',
  )
}
