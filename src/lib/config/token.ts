import {readFileSync, statSync} from 'node:fs'
import {configError, messageOf} from '../core/errors.ts'
import type {Config} from './settings.ts'

/** The bearer token from `auth_token`, or the text of `auth_token_file`. Throws ExpectedError (78). */
export function authToken(config: Config): string | undefined {
  if (config.auth_token !== undefined) return validateToken(config.auth_token, 'auth_token')
  const path = config.auth_token_file
  if (path === undefined) return undefined
  const text = readPrivateText(path, 'token', 'auth_token_file')
  if (text === '')
    throw configError(`The token file ${path} is empty.`, 'Write the token to it, or unset auth_token_file.')
  return validateToken(text, path)
}

/** The trimmed text of a file that only this user may read. Throws ExpectedError (78) that names the file and `setting`. */
export function readPrivateText(path: string, what: string, setting: string): string {
  let text: string
  let mode: number
  try {
    mode = statSync(path).mode
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw configError(`The ${what} file ${path} cannot be read: ${messageOf(error)}.`, `Check ${setting}.`)
  }

  if (process.platform !== 'win32' && (mode & 0o077) !== 0)
    throw configError(
      `Other users may read the ${what} file ${path} (mode ${(mode & 0o777).toString(8)}).`,
      `Run: chmod 600 ${path}`,
    )
  return text
}

/** A token is sent in a header, so it must be one line of visible characters. */
function validateToken(token: string, source: string): string {
  if (!/^[\x21-\x7e]+$/.test(token))
    throw configError(`The token from ${source} contains spaces or control characters.`, 'Give only the token.')
  return token
}
