import {createHash} from 'node:crypto'
import {parseTime} from '../../../core/clock.ts'
import {counted} from '../../../core/text/counted.ts'
import {agentPrefix, programOf} from '../../../protocol/agent-program.ts'
import {limits} from '../../../protocol/limits.ts'
import {globalCodebase, pendingCodebase} from '../../../protocol/routes.ts'
import {conflict, HttpError, notFound} from '../../http/http-error.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import {frameSize} from '../../state/frame-size.ts'
import {all, type StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {place} from '../dispatch/assignment.ts'
import {requireTask} from '../dispatch/required.ts'
import {checkAgent} from './task-agent.ts'
import {announce} from './task-life.ts'

/** A repeated request is recognised for this long. */
export const requestRetentionMs = 24 * 60 * 60_000
const fullQueueSeconds = 10

export type TaskInput = {
  codebase_id: string
  title: string
  prompt: string
  agent_type: string
  model?: string | null
  priority?: number
  metadata: Record<string, unknown>
}

export type NewTask = {
  input: TaskInput
  /** The id of the task, if one is created. */
  id: string
  /** The Idempotency-Key of the request, and a hash of the token that sent it. */
  key: string | undefined
  client: string
  /** The name of its token, if it has one. */
  by: string | null
}

/** Creates a task of a registered codebase, or returns the one that the same request with the same key has created. */
export const createTask: Rule<NewTask, StoredTask> = (draft, request) => {
  checkCodebase(draft, request.input.codebase_id)
  return createOnce(draft, {...request, input: withModelInMetadata(request.input)})
}

type RegistrationInput = {name: string; path: string; description: string; agent_config: Record<string, unknown>}

/** Creates a task that asks the workers, one after the other, to register a path. */
export const requestRegistration: Rule<Omit<NewTask, 'input'> & {codebase: RegistrationInput}, StoredTask> = (
  draft,
  {codebase: {name, path, description, agent_config}, ...request},
) => {
  if (draft.count('workers', all) === 0)
    throw new HttpError(400, 'No workers available. Start a worker on the machine with access to this path.')
  const input = {
    codebase_id: pendingCodebase,
    title: `Register codebase: ${name}`.slice(0, limits.title),
    prompt: `Register the codebase at ${path}`,
    agent_type: 'register_codebase',
    metadata: {name, path, description, agent_config},
  }
  return createOnce(draft, {...request, input})
}

function createOnce(draft: Draft, {key, client, ...task}: NewTask): StoredTask {
  if (!key) return create(draft, task)
  if (key.length > 255) throw new HttpError(400, 'Idempotency-Key is longer than 255 characters')
  const request = createHash('sha256').update(JSON.stringify(task.input)).digest('hex')
  const id = `${client}:${key}`
  const earlier = draft.get('request', id)
  if (earlier && draft.now - (parseTime(earlier.created_at) ?? 0) < requestRetentionMs) {
    if (earlier.request !== request)
      throw conflict(`Idempotency-Key ${key} was used for another task (${earlier.task_id})`)
    requireTask(draft, earlier.task_id)
    return requireTask(draft, earlier.task_id)
  }

  draft.put('request', id, {key: id, request, task_id: task.id, created_at: draft.timestamp})
  return create(draft, task)
}

function create(draft: Draft, {input, id, by}: Omit<NewTask, 'key' | 'client'>): StoredTask {
  checkSizes(input)
  checkAgent(draft, input)
  checkQueue(draft)
  const {codebase_id, agent_type, title} = input
  const task = newTask(input, {id, n: draft.nextNumber(), by, now: draft.timestamp})
  draft.put('task', id, task)
  draft.update('codebase', codebase_id, {last_triggered: task.created_at})
  draft.audit('task.created', {who: by, task_id: id, detail: `${agent_type} in ${codebase_id}: ${title}`})
  announce(draft, id, {change: 'created'})
  place(draft, task)
  return requireTask(draft, id)
}

/** The capabilities that a worker must have for a task: those that it names, and the agent that it is for. */
function requiredOf(metadata: Record<string, unknown>): string[] {
  const capabilities = metadata['required_capabilities']
  const named = Array.isArray(capabilities) ? capabilities.filter((name) => typeof name === 'string') : []
  const agent = programOf(metadata)
  return agent === undefined ? named : [...named, `${agentPrefix}${agent}`]
}

type Created = {id: string; n: number; by: string | null; now: string}

function newTask(input: TaskInput, {id, n, by, now}: Created): StoredTask {
  const {model = null, priority = 0, metadata, ...rest} = input
  const required = requiredOf(metadata)
  return {
    ...{n, id, ...rest, model, priority, metadata, created_at: now, updated_at: now, created_by: by},
    ...{status: 'pending', worker_id: null, session_id: null, result: null, error: null},
    ...{started_at: null, completed_at: null, attempt: 1, returns: 0, cancel_requested_at: null, lost_since: null},
    ...{usage: null, cancelled_by: null, retried_by: null, required: required.length > 0 ? required : null},
    ...{frame_size: frameSize(input), output_next: 0, output_seq: 0, output_first: 0, output_chars: 0, output_lost: 0},
    output_dropped: 0,
  }
}

function checkSizes({prompt, title}: TaskInput): void {
  if (Buffer.byteLength(prompt) > limits.prompt)
    throw new HttpError(413, `The prompt is larger than ${limits.prompt} bytes`)
  if (title.length > limits.title) throw new HttpError(413, `The title is longer than ${limits.title} characters`)
}

/** Each waiting task takes memory, so there is a limit. */
function checkQueue({pending, policy: {maxPending}}: State): void {
  if (pending < maxPending) return
  const detail = `${counted(pending, 'task')} wait already, which is the limit. Try again later, or cancel some`
  throw new HttpError(503, detail, {headers: {'retry-after': String(fullQueueSeconds)}})
}

function checkCodebase(state: State, id: string): void {
  const isKnown = id === globalCodebase ? state.count('workers', all) > 0 : state.get('codebase', id) !== undefined
  if (!isKnown) throw notFound('Codebase not found')
}

/** Copies the model to the metadata: the existing worker reads it only there. */
function withModelInMetadata({model = null, metadata, ...input}: TaskInput): TaskInput {
  const inMetadata = typeof metadata['model'] === 'string' ? metadata['model'] : null
  return {...input, model: model ?? inMetadata, metadata: model && !inMetadata ? {...metadata, model} : metadata}
}
