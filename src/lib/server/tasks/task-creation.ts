import {createHash} from 'node:crypto'
import {isoTime} from '../../core/clock.ts'
import {globalCodebase} from '../../protocol/routes.ts'
import {conflict, HttpError, notFound} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import type {TaskInput} from './tasks.ts'
import {createTask, requireTask} from './tasks.ts'

const retentionMs = 24 * 60 * 60_000

/** Identifies a repeated request: its Idempotency-Key, and the client that sent it. `by`: the name of its token. */
export type IdempotencyKey = {key: string | undefined; client: string; by: string | null}

/** Creates a task of a registered codebase, or returns the one that the same request has created. */
export function createTaskOnce(parts: Parts, input: TaskInput, key: IdempotencyKey): StoredTask {
  checkCodebase(parts, input.codebase_id)
  return createOnce(parts, withModelInMetadata(input), key)
}

/** Creates a task, or returns the one that the same request with the same key has created. */
export function createOnce(parts: Parts, input: TaskInput, {key, client, by}: IdempotencyKey): StoredTask {
  const {store, clock} = parts
  const {registry} = store
  if (!key) return createTask(parts, input, by)
  if (key.length > 255) throw new HttpError(400, 'Idempotency-Key is longer than 255 characters')

  registry.deleteIdempotentRequestsBefore(isoTime(clock.now() - retentionMs))
  const entry = {key: `${client}:${key}`, request: createHash('sha256').update(JSON.stringify(input)).digest('hex')}
  const earlier = registry.idempotentRequest(entry.key)
  if (earlier && earlier.request !== entry.request)
    throw conflict(`Idempotency-Key ${key} was used for another task (${earlier.task_id})`)
  if (earlier) return requireTask(parts, earlier.task_id)
  const task = createTask(parts, input, by)
  registry.saveIdempotentRequest({...entry, task_id: task.id, created_at: isoTime(clock.now())})
  return task
}

function checkCodebase({store}: Parts, id: string): void {
  const isKnown = id === globalCodebase ? store.registry.hasWorkers() : store.registry.codebase(id) !== undefined
  if (!isKnown) throw notFound('Codebase not found')
}

/** Copies the model to the metadata: the existing worker reads it only there. */
function withModelInMetadata({model = null, metadata, ...input}: TaskInput): TaskInput {
  const inMetadata = typeof metadata['model'] === 'string' ? metadata['model'] : null
  return {...input, model: model ?? inMetadata, metadata: model && !inMetadata ? {...metadata, model} : metadata}
}
