import type {Config} from '../config/settings.ts'
import {configError, usageError} from '../core/errors.ts'
import {parseDuration} from '../core/text/duration.ts'
import {readPrivateKey} from './key-files.ts'
import {signTask} from './sign-task.ts'
import type {SignedCodebase, SignedTask} from './task-claims.ts'

/** Signs a task for a codebase. Resolves with the metadata that the task must have. */
export type TaskSigner = (task: SignedTask, codebase: SignedCodebase) => Promise<Record<string, unknown>>

export type SigningFlags = {
  /** Undefined: sign if there is a key. */
  sign: boolean | undefined
  /** How long the signature is valid, for example 24h. */
  validFor: string
}

const maxValidMs = 366 * 24 * 60 * 60_000

/** The signer of this client. Undefined if tasks are not signed. Throws ExpectedError (2, 78). */
export function taskSigner(
  {signing_key: path}: Pick<Config, 'signing_key'>,
  {sign, validFor}: SigningFlags,
): TaskSigner | undefined {
  if (sign === false || (sign === undefined && path === undefined)) return undefined
  if (path === undefined)
    throw configError(
      'There is no key to sign with.',
      'Make one with `a2a-worker keys generate FILE`, and name it: --key FILE, A2A_SIGNING_KEY, or signing_key in the configuration.',
    )
  const validMs = parseDuration(validFor)
  if (validMs === undefined || validMs === 0 || validMs > maxValidMs)
    throw usageError(`--valid-for needs a time like 30m, 24h or 7d, at most 366d, not ${JSON.stringify(validFor)}.`)
  const key = readPrivateKey(path)
  return (task, codebase) => signTask(task, codebase, key, {now: Date.now(), validMs})
}
