import {createHash} from 'node:crypto'
import * as v from 'valibot'
import {normalizePath} from '../protocol/normalize-path.ts'
import type {Task} from '../protocol/schemas.ts'
import {canonicalJson} from './canonical-json.ts'

/** The key of a task's metadata that contains its signature: a JWS in compact form (RFC 7515). */
export const signatureKey = 'a2a_signature'

/** The type in the header of the JWS. A signature that was made for something else is none of a task. */
export const signatureType = 'a2a-task+jwt'

/** The only algorithm: EdDSA with Ed25519 (RFC 8037). */
export const algorithm = 'EdDSA'

/** Clocks may differ by this much, in seconds. */
export const leewaySeconds = 60

/** What an agent is told, or what decides where and how it works. */
export type SignedTask = Pick<Task, 'title' | 'prompt' | 'agent_type' | 'model' | 'metadata'>

/** A codebase as the control plane lists it, and as its worker has it. */
export type SignedCodebase = {name: string; path: string}

const hash = v.pipe(v.string(), v.regex(/^[\w-]{43}$/))
const seconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** What is signed: the payload of the JWS. Times are in seconds (RFC 7519). Hashes are SHA-256, in base64url. */
export const claimsSchema = v.object({
  codebase: v.object({name: v.string(), path: v.string()}),
  agent: v.string(),
  /** As the task names it. Null: the default of the agent. */
  model: v.nullable(v.string()),
  title: v.string(),
  /** Of the prompt in UTF-8. */
  prompt_sha256: hash,
  /** Of the metadata without the signature, in canonical form. They name the session to resume, among others. */
  metadata_sha256: hash,
  /** Not before, and not after. */
  nbf: seconds,
  exp: seconds,
  /** A nonce. The worker binds it to the id of the first task that it comes with. */
  jti: v.pipe(v.string(), v.regex(/^[\w-]{16,64}$/)),
})
export type TaskClaims = v.InferOutput<typeof claimsSchema>

type Described = Omit<TaskClaims, 'nbf' | 'exp' | 'jti'>

/** The claims about a task itself. A worker makes the same ones of what it is about to run, and compares. */
export function describeTask(task: SignedTask, {name, path}: SignedCodebase): Described {
  const {[signatureKey]: _, ...metadata} = task.metadata
  return {
    codebase: {name, path: normalizePath(path)},
    agent: task.agent_type,
    model: namedModel(task),
    title: task.title,
    prompt_sha256: sha256(task.prompt),
    metadata_sha256: sha256(canonicalJson(metadata)),
  }
}

/** The model that a task names: in its metadata, where existing workers look for it, else in its own field. */
export function namedModel({model, metadata}: Pick<Task, 'model' | 'metadata'>): string | null {
  const inMetadata = metadata['model']
  return typeof inMetadata === 'string' && inMetadata !== '' ? inMetadata : model
}

const sha256 = (text: string) => createHash('sha256').update(text, 'utf8').digest('base64url')
