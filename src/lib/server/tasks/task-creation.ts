import {createHash} from 'node:crypto'
import {isoTime} from '../../core/clock.ts'
import {globalCodebase} from '../../protocol/routes.ts'
import {conflict, HttpError, notFound} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import type {TaskInput} from './tasks.ts'
import {createTask, existing} from './tasks.ts'

const keptMs = 24 * 60 * 60_000

/** What a repeated request is known by: its Idempotency-Key, and who sends it. */
export type Once = {key: string | undefined; client: string}

/** Creates a task of a codebase that is known, or finds the one that the same request created before. */
export function createTaskOnce(parts: Parts, input: TaskInput, once: Once): StoredTask {
  checkCodebase(parts, input.codebase_id)
  return onceOnly(parts, alsoInMetadata(input), once)
}

/** Creates a task, or finds the one that the same request with the same key created before. */
export function onceOnly(parts: Parts, input: TaskInput, {key, client}: Once): StoredTask {
  const {store, clock} = parts
  const {registry} = store
  if (!key) return createTask(parts, input)
  if (key.length > 255) throw new HttpError(400, 'Idempotency-Key is longer than 255 characters')

  registry.forgetBefore(isoTime(clock.now() - keptMs))
  const entry = {key: `${client}:${key}`, request: createHash('sha256').update(JSON.stringify(input)).digest('hex')}
  const before = registry.remembered(entry.key)
  if (before && before.request !== entry.request)
    throw conflict(`Idempotency-Key ${key} was used for another task (${before.task_id})`)
  if (before) return existing(parts, before.task_id)
  const task = createTask(parts, input)
  registry.remember({...entry, task_id: task.id, created_at: isoTime(clock.now())})
  return task
}

function checkCodebase({store}: Parts, id: string): void {
  const isKnown = id === globalCodebase ? store.registry.hasWorkers() : store.registry.codebase(id) !== undefined
  if (!isKnown) throw notFound('Codebase not found')
}

/** The existing worker reads the model from the metadata only. */
function alsoInMetadata({model = null, metadata, ...input}: TaskInput): TaskInput {
  const inMetadata = typeof metadata['model'] === 'string' ? metadata['model'] : null
  return {...input, model: model ?? inMetadata, metadata: model && !inMetadata ? {...metadata, model} : metadata}
}
