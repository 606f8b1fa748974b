import {createHash} from 'node:crypto'
import * as v from 'valibot'
import type {TaskInput} from '../protocol/task-input.ts'

/** The type in the header of the JWS. A signature of a task is none of an input, and the other way round. */
export const inputSignatureType = 'a2a-input+jwt'

const seconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** What is signed of an input: the payload of the JWS. It holds for all attempts of its task. Times as in `TaskClaims`. */
export const inputClaimsSchema = v.object({
  task: v.string(),
  input: v.string(),
  question: v.nullable(v.string()),
  option: v.nullable(v.string()),
  /** Of the text in UTF-8: SHA-256, in base64url. */
  text_sha256: v.nullable(v.string()),
  mode: v.string(),
  nbf: seconds,
  exp: seconds,
})
export type InputClaims = v.InferOutput<typeof inputClaimsSchema>

/** The claims about an input itself. A worker makes the same ones of what it is about to pass on, and compares. */
export const describeInput = (
  taskId: string,
  {id, question, option, text, mode}: TaskInput,
): Omit<InputClaims, 'nbf' | 'exp'> => ({
  ...{task: taskId, input: id, question, option, mode},
  text_sha256: text === null ? null : createHash('sha256').update(text, 'utf8').digest('base64url'),
})
