import {randomBytes, type KeyObject} from 'node:crypto'
import {publicKeyOf} from './keys.ts'
import {
  algorithm,
  describeTask,
  signatureKey,
  signatureType,
  type SignedCodebase,
  type SignedTask,
  type TaskClaims,
} from './task-claims.ts'

/** Unix ms. */
export type SigningTime = {now: number; validMs: number}

/** Signs a task for a codebase, as the control plane lists it. Resolves with the metadata that the task must have. */
export async function signTask(
  task: SignedTask,
  codebase: SignedCodebase,
  key: KeyObject,
  {now, validMs}: SigningTime,
): Promise<Record<string, unknown>> {
  const {SignJWT} = await import('jose')
  const claims: TaskClaims = {
    ...describeTask(task, codebase),
    nbf: Math.floor(now / 1000),
    exp: Math.ceil((now + validMs) / 1000),
    jti: randomBytes(18).toString('base64url'),
  }
  const jws = await new SignJWT(claims)
    .setProtectedHeader({alg: algorithm, typ: signatureType, kid: publicKeyOf(key).x})
    .sign(key)
  return {...task.metadata, [signatureKey]: jws}
}
