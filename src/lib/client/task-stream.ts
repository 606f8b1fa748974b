import * as v from 'valibot'
import {parseJson} from '../protocol/parse.ts'
import {pathTo} from '../protocol/routes.ts'
import {cancelEventSchema, taskEventSchema, type Task} from '../protocol/schemas.ts'
import {readEvents} from '../protocol/sse.ts'
import {inputEventSchema, type SignedInput} from '../protocol/task-input.ts'
import type {HttpClient} from './http.ts'

/**
 * A parsed message of a worker's stream. `connected` comes with the first event, which every server sends at once. The
 * HTTP answer alone proves nothing: a buffering proxy sends it too. `alive` is any other event.
 */
export type StreamMessage =
  | {type: 'connected'}
  | {type: 'alive'}
  /** Another process has announced itself with the id of this worker. A heartbeat proves that this one is alive. */
  | {type: 'instance-check'}
  | {type: 'task'; task: Task}
  | {type: 'cancel'; taskId: string; attempt: number; reason: string}
  /** A person has said something to a task. Without `input` it must be fetched. */
  | {type: 'input'; taskId: string; attempt: number; input: SignedInput | null}
  | {type: 'malformed'; detail: string}

export type TaskStreamOptions = {
  workerId: string
  /** Identifies this process. */
  instance: string
  name: string
  codebases: readonly string[]
  capabilities: readonly string[]
  lastEventId?: string | undefined
  /** A stream that is silent for longer counts as dead, in ms. */
  silenceMs: number
  signal: AbortSignal
  onId: (id: string) => void
  /** After how many ms the server wants this worker to connect again. */
  onRetry: (ms: number) => void
}

/** The event names of tasks on all servers. */
const taskEvents = new Set(['task_available', 'task', 'task_assigned', 'task.created', 'task.assigned'])

/**
 * Opens the worker's task stream and yields its messages until it ends. Throws if it cannot be opened, breaks, or is
 * silent for too long. The worker id is in the query and in each header that some server reads.
 */
export async function* taskStream(http: HttpClient, options: TaskStreamOptions): AsyncGenerator<StreamMessage> {
  const {workerId, instance, name, codebases, capabilities, lastEventId, silenceMs, signal} = options
  const body = await http.open({
    what: 'The task stream broke',
    path: pathTo('taskStream', {}, {worker_id: workerId, agent_name: name}),
    headers: {
      'x-worker-id': workerId,
      'x-agent-name': encodeURIComponent(name),
      worker_id: workerId,
      'x-instance': instance,
      ...(codebases.length > 0 ? {'x-codebases': codebases.join(',')} : {}),
      'x-capabilities': capabilities.join(','),
      ...(lastEventId === undefined ? {} : {'last-event-id': lastEventId}),
    },
    silenceMs,
    signal,
  })
  let isFirst = true
  for await (const event of readEvents(body, undefined, options.onRetry)) {
    if (isFirst) yield {type: 'connected'}
    isFirst = false
    if (event.id !== undefined) options.onId(event.id)
    yield interpret(event.event, event.data)
  }
}

function interpret(name: string, data: string): StreamMessage {
  if (taskEvents.has(name)) {
    const parsed = v.safeParse(taskEventSchema, parseJson(data))
    if (parsed.success) return {type: 'task', task: parsed.output}
    return {type: 'malformed', detail: `event ${name} does not hold a task: ${data.slice(0, 100)}`}
  }

  if (name === 'task_cancelled') {
    const parsed = v.safeParse(cancelEventSchema, parseJson(data))
    if (!parsed.success) return {type: 'malformed', detail: `event ${name} names no task: ${data.slice(0, 100)}`}
    const {id, attempt, reason} = parsed.output
    return {type: 'cancel', taskId: id, attempt, reason: reason ?? 'cancelled on the server'}
  }

  if (name === 'task_input') {
    const parsed = v.safeParse(inputEventSchema, parseJson(data))
    if (!parsed.success) return {type: 'malformed', detail: `event ${name} holds no input: ${data.slice(0, 100)}`}
    const {task_id: taskId, attempt, input} = parsed.output
    return {type: 'input', taskId, attempt, input}
  }

  return {type: name === 'instance_check' ? 'instance-check' : 'alive'}
}
