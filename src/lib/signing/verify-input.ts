import {isDeepStrictEqual} from 'node:util'
import * as v from 'valibot'
import type {SignedInput} from '../protocol/task-input.ts'
import {describeInput, inputClaimsSchema, inputSignatureType} from './input-claims.ts'
import type {TrustedKey} from './keys.ts'
import {leewaySeconds} from './task-claims.ts'
import {openSignature, problem, type SignatureProblem} from './verify-task.ts'

/**
 * Checks the signature of an input against what is about to be passed on. Never throws, whatever the input contains. That
 * the input comes once is checked by its id.
 */
export async function verifyInput(
  taskId: string,
  input: SignedInput,
  keys: readonly TrustedKey[],
  now: number,
): Promise<{signer: TrustedKey} | SignatureProblem> {
  const opened = await openSignature(input.signature, inputSignatureType, keys, 'what was said')
  if ('rule' in opened) return opened
  const parsed = v.safeParse(inputClaimsSchema, opened.payload)
  if (!parsed.success) return problem('malformed', 'The signature cannot be read.')
  const {nbf, exp, ...signed} = parsed.output
  const seconds = now / 1000
  if (seconds < nbf - leewaySeconds)
    return problem('not-yet-valid', 'The signature is not valid yet. Do the clocks differ?')
  if (seconds > exp + leewaySeconds) return problem('expired', 'The signature is no longer valid.')
  if (isDeepStrictEqual(signed, describeInput(taskId, input))) return {signer: opened.signer}
  return problem('changed', 'It is not what was signed.')
}
