import {createPublicKey} from 'node:crypto'
import {isDeepStrictEqual} from 'node:util'
import * as v from 'valibot'
import {isoTime} from '../core/clock.ts'
import {formatPublicKey, type TrustedKey} from './keys.ts'
import {
  algorithm,
  claimsSchema,
  describeTask,
  leewaySeconds,
  signatureKey,
  signatureType,
  type SignedCodebase,
  type SignedTask,
  type TaskClaims,
} from './task-claims.ts'

/** The rules that a signed task may break. */
export const signatureRules = [
  'unsigned',
  'malformed',
  'unknown-key',
  'bad-signature',
  'not-yet-valid',
  'expired',
  'retargeted',
  'changed',
  'replayed',
] as const
export type SignatureRule = (typeof signatureRules)[number]

/** Why a task is not accepted. `text`: a sentence for people. */
export type SignatureProblem = {rule: SignatureRule; text: string}

export type Verified = {signer: TrustedKey; nonce: string; /** Unix ms, with the leeway. */ validUntil: number}

/** A JWS is not read above this length. */
const maxLength = 16 * 1024

/** A refusal by a rule, with a sentence for people. */
export const problem = (rule: SignatureRule, text: string): SignatureProblem => ({rule, text})

/**
 * Checks the signature of a task against what is about to run: the task as this worker has it, and its own name and path
 * of the codebase. That the nonce is new is checked by the caller, who remembers nonces. Never throws, whatever the task
 * contains.
 */
export async function verifyTask(
  task: SignedTask,
  codebase: SignedCodebase,
  keys: readonly TrustedKey[],
  now: number,
): Promise<Verified | SignatureProblem> {
  const opened = await openSignature(task.metadata[signatureKey], signatureType, keys, 'the task')
  if ('rule' in opened) return opened
  const {signer, payload} = opened
  const parsed = v.safeParse(claimsSchema, payload)
  if (!parsed.success) return malformed
  const claims = parsed.output
  try {
    return compare(claims, {task, codebase, signer, now})
  } catch {
    return problem('changed', 'Not as signed: the task is too deep to be compared.')
  }
}

const malformed = problem('malformed', 'The signature cannot be read.')

/** A key id comes from the task, so it may be anything. */
const shown = (kid: string) => (/^[\w-]{43}$/.test(kid) ? formatPublicKey({x: kid, name: undefined}) : 'not even a key')

/**
 * The payload of a JWS of this type that a trusted key has signed. `what`: what was signed, for people. Never throws.
 */
export async function openSignature(
  jws: unknown,
  type: string,
  keys: readonly TrustedKey[],
  what: string,
): Promise<{signer: TrustedKey; payload: unknown} | SignatureProblem> {
  if (jws === undefined || jws === null)
    return problem('unsigned', `${what[0]?.toUpperCase()}${what.slice(1)} is not signed.`)
  if (typeof jws !== 'string' || jws.length > maxLength) return malformed
  const {decodeProtectedHeader, compactVerify} = await import('jose')
  try {
    const {kid, typ} = decodeProtectedHeader(jws)
    if (typ !== type || typeof kid !== 'string') return malformed
    const signer = keys.find(({x}) => x === kid)
    if (!signer) return problem('unknown-key', `The key that signed ${what} is not in trusted_keys: ${shown(kid)}.`)
    const key = createPublicKey({key: {kty: 'OKP', crv: 'Ed25519', x: signer.x}, format: 'jwk'})
    const {payload} = await compactVerify(jws, key, {algorithms: [algorithm]})
    return {signer, payload: JSON.parse(new TextDecoder('utf-8', {fatal: true}).decode(payload)) as unknown}
  } catch (error) {
    const isForged = (error as {code?: unknown}).code === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED'
    return isForged ? problem('bad-signature', 'The signature does not belong to what was signed.') : malformed
  }
}

type Checked = {task: SignedTask; codebase: SignedCodebase; signer: TrustedKey; now: number}

function compare(claims: TaskClaims, {task, codebase, signer, now}: Checked): Verified | SignatureProblem {
  const {exp, nbf, jti, codebase: signedFor, ...signed} = claims
  const seconds = now / 1000
  if (seconds < nbf - leewaySeconds)
    return problem('not-yet-valid', `The signature is valid from ${timeOf(nbf)} on. Do the clocks differ?`)
  if (seconds > exp + leewaySeconds) return problem('expired', `The signature was valid until ${timeOf(exp)}.`)
  const {codebase: here, ...found} = describeTask(task, codebase)
  if (!isDeepStrictEqual(signedFor, here))
    return problem(
      'retargeted',
      `The task was signed for the codebase ${quote(signedFor.name)} at ${quote(signedFor.path)}, and this is ${quote(here.name)} at ${quote(here.path)}.`,
    )
  const changed = (Object.keys(found) as (keyof typeof found)[]).filter((key) => signed[key] !== found[key])
  if (changed.length > 0)
    return problem('changed', `Not as signed: ${changed.map((key) => key.replace('_sha256', '')).join(', ')}.`)
  return {signer, nonce: jti, validUntil: (exp + leewaySeconds) * 1000}
}

const maxTime = 8.64e12
const timeOf = (seconds: number) => isoTime(Math.min(seconds, maxTime) * 1000)
const quote = (text: string) => JSON.stringify(text.slice(0, 200))
