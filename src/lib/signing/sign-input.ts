import type {KeyObject} from 'node:crypto'
import type {Config} from '../config/settings.ts'
import type {TaskInput} from '../protocol/task-input.ts'
import {describeInput, inputSignatureType} from './input-claims.ts'
import {readPrivateKey} from './key-files.ts'
import {publicKeyOf} from './keys.ts'
import type {SigningTime} from './sign-task.ts'
import {algorithm} from './task-claims.ts'

/** How long the signature of an input is valid: its worker may be away for a while. */
const validMs = 24 * 60 * 60_000

/** Signs an input of a task. Resolves with a JWS in compact form. */
export async function signInput(
  taskId: string,
  input: TaskInput,
  key: KeyObject,
  {now, validMs}: SigningTime,
): Promise<string> {
  const {SignJWT} = await import('jose')
  const times = {nbf: Math.floor(now / 1000), exp: Math.ceil((now + validMs) / 1000)}
  return await new SignJWT({...describeInput(taskId, input), ...times})
    .setProtectedHeader({alg: algorithm, typ: inputSignatureType, kid: publicKeyOf(key).x})
    .sign(key)
}

/** Signs what a person says to a task. */
export type InputSigner = (taskId: string, input: TaskInput) => Promise<string>

/** The signer of this client. Undefined if there is no `signing_key`. Throws ExpectedError (78). */
export function inputSigner({signing_key: path}: Pick<Config, 'signing_key'>): InputSigner | undefined {
  if (path === undefined) return undefined
  const key = readPrivateKey(path)
  return (taskId, input) => signInput(taskId, input, key, {now: Date.now(), validMs})
}
