import * as v from 'valibot'
import {wireAgentStateSchema} from './agent-state.ts'
import {limits} from './limits.ts'
import {taskStatuses} from './statuses.ts'
import {openQuestionSchema} from './task-input.ts'

/**
 * The wire types of the CodeTether worker API and their parsers, for client and server. Readers are tolerant: a field
 * that the existing server omits has a default, and unknown fields are dropped. Field names, defaults and states are
 * those of the public reference (rileyseaburg/codetether at ce51a8e). Fields marked "Ours" are ignored by it.
 */

export {finalStatuses, isFinal, taskStatuses, type FinalStatus, type TaskStatus} from './statuses.ts'

const text = (fallback = '') =>
  v.optional(v.nullish(v.string(), fallback), fallback) as v.GenericSchema<unknown, string>
const nullable = v.optional(v.nullable(v.string()), null)
const count = v.pipe(v.number(), v.integer(), v.minValue(0))
const anyObject = v.record(v.string(), v.unknown())

/** The usage of a run: tokens as OpenCode counts them, summed over its steps, and `cost` in US dollars. Ours. */
export const usageSchema = v.object({
  input: v.optional(v.number(), 0),
  output: v.optional(v.number(), 0),
  reasoning: v.optional(v.number(), 0),
  cache_read: v.optional(v.number(), 0),
  cache_write: v.optional(v.number(), 0),
  cost: v.optional(v.number(), 0),
  model: nullable,
  /** From the spawn to the end of the process. */
  duration_ms: v.optional(v.nullable(v.number()), null),
})
export type Usage = v.InferOutput<typeof usageSchema>

/** A state that only another version knows is as good as none. */
const knownState = v.fallback(v.optional(v.nullable(wireAgentStateSchema), null), null)

export const taskSchema = v.object({
  id: v.pipe(v.string(), v.minLength(1)),
  codebase_id: text(),
  title: text(),
  prompt: text(),
  agent_type: v.pipe(
    text('build'),
    v.transform((name) => name || 'build'),
  ),
  model: nullable,
  status: v.optional(v.picklist(taskStatuses), 'pending'),
  priority: v.optional(v.nullish(v.number(), 0), 0),
  worker_id: nullable,
  session_id: nullable,
  result: nullable,
  error: nullable,
  metadata: v.optional(v.nullish(anyObject, {}), {}) as v.GenericSchema<unknown, Record<string, unknown>>,
  created_at: nullable,
  started_at: nullable,
  completed_at: nullable,
  updated_at: nullable,
  /** Counts from 1, plus one for each requeue. Ours; 0 from a server without attempts. */
  attempt: v.optional(count, 0),
  /** How many of the attempts never began, for a reason that lay with the worker's machine. Ours. */
  returns: v.optional(count, 0),
  cancel_requested_at: v.optional(v.nullable(v.string()), null),
  /** Since when the holder is lost. Ours. */
  lost_since: v.optional(v.nullable(v.string()), null),
  usage: v.optional(v.nullable(usageSchema), null),
  /** Names of the tokens that created it, and that cancelled or retried it last. Ours; null without tokens. */
  created_by: nullable,
  cancelled_by: nullable,
  retried_by: nullable,
  /** Why a pending task waits, or why its agent waits for a provider, for people. Ours; absent if unknown. */
  waiting: v.optional(v.nullable(v.string()), null),
  /** In the frame of an assignment: when it lapses if it is not confirmed, in ms from the frame. Ours. */
  confirm_ms: v.optional(count),
  /** What the agent of a running task does now. Ours; only in the answer to a request for one task. */
  agent_state: v.optional(knownState),
  /** What its agent asks and nobody has answered yet. Ours; absent if there is nothing. */
  waiting_for: v.optional(v.fallback(v.array(openQuestionSchema), [])),
})
export type Task = v.InferOutput<typeof taskSchema>

/** A task in a stream frame. Servers also use `task_id`, `description` and a wrapping `data` object. */
export const taskEventSchema = v.pipe(
  v.looseObject({}),
  v.transform((event: Record<string, unknown>) => {
    const inner = event['data']
    const task = (typeof inner === 'object' && inner !== null ? inner : event) as Record<string, unknown>
    return {...task, id: task['id'] ?? task['task_id'], prompt: task['prompt'] ?? task['description']}
  }),
  taskSchema,
)

export const workerSchema = v.object({
  worker_id: v.pipe(v.string(), v.minLength(1)),
  name: text(),
  capabilities: v.optional(v.array(v.string()), []),
  hostname: nullable,
  models: v.optional(v.array(v.unknown()), []),
  global_codebase_id: nullable,
  registered_at: nullable,
  last_seen: nullable,
  status: text('active'),
  /** Ours, from here on. */
  version: nullable,
  max_concurrent_tasks: v.optional(v.nullable(v.number()), null),
  features: v.optional(v.array(v.string()), []),
  connected: v.optional(v.boolean(), false),
  running: v.optional(count, 0),
})
export type Worker = v.InferOutput<typeof workerSchema>

export const codebaseSchema = v.object({
  id: v.pipe(v.string(), v.minLength(1)),
  name: text(),
  path: text(),
  description: text(),
  status: text('idle'),
  worker_id: nullable,
  registered_at: nullable,
  agent_config: v.optional(v.nullish(anyObject, {}), {}) as v.GenericSchema<unknown, Record<string, unknown>>,
  last_triggered: nullable,
  opencode_port: v.optional(v.nullable(v.number()), null),
  session_id: nullable,
  watch_mode: v.optional(v.boolean(), false),
  watch_interval: v.optional(v.number(), 5),
  /** Whether a connected worker serves it, and on which host. Ours. */
  served: v.optional(v.nullable(v.boolean()), null),
  hostname: nullable,
  /** Ids of duplicates of the same directory that no worker serves any more. */
  aliases: v.optional(v.array(v.string())),
  duplicate_count: v.optional(v.number()),
  /** Number of tasks by status, in the answer to a status request. Ours. */
  tasks: v.optional(v.record(v.string(), v.number())),
})
export type Codebase = v.InferOutput<typeof codebaseSchema>

// ---------------------------------------------------------------------------------------------------- requests

const required = v.pipe(v.string(), v.minLength(1))
const maybe = v.optional(v.nullable(v.string()), null)

/** A text of a limited length. Every field of a request has a limit: others are shown what one client sends. */
const atMost = (length: number) => v.pipe(v.string(), v.maxLength(length))
const requiredUpTo = (length: number) => v.pipe(atMost(length), v.minLength(1))
const maybeUpTo = (length: number) => v.optional(v.nullable(atMost(length)), null)
const id = requiredUpTo(limits.id)
const maybeId = maybeUpTo(limits.id)
const smallObject = v.pipe(
  anyObject,
  v.check(
    (value) => JSON.stringify(value).length <= limits.object,
    `Invalid length: Expected at most ${limits.object} characters of JSON`,
  ),
)
const names = v.pipe(v.array(atMost(limits.name)), v.maxLength(limits.listed))
const ids = v.pipe(v.array(atMost(limits.id)), v.maxLength(limits.listed))

export const registerWorkerSchema = v.object({
  worker_id: id,
  name: requiredUpTo(limits.name),
  capabilities: v.optional(names, []),
  hostname: maybeUpTo(limits.name),
  models: v.optional(v.pipe(v.array(v.unknown()), v.maxLength(10 * limits.listed)), []),
  /** Why `models` is empty, for people. Ours. */
  models_note: maybeUpTo(limits.note),
  global_codebase_id: maybeId,
  version: maybeUpTo(limits.name),
  max_concurrent_tasks: v.optional(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(1))), null),
  features: v.optional(v.nullable(names), null),
  /** Identifies the machine, as a hash. Ours. */
  machine_id: maybeId,
  /** Identifies the process of the worker. Ours. */
  instance: maybeId,
})
export type RegisterWorker = v.InferInput<typeof registerWorkerSchema>

export const registerCodebaseSchema = v.object({
  name: requiredUpTo(limits.name),
  path: requiredUpTo(limits.path),
  description: v.optional(atMost(limits.note), ''),
  agent_config: v.optional(smallObject, {}),
  worker_id: maybeId,
  /** The working tree as `device:inode`. Two codebases of one tree never run at once. Ours. */
  tree: maybeUpTo(limits.path),
})
export type RegisterCodebase = v.InferInput<typeof registerCodebaseSchema>

/** An active run: its identity, and why its agent waits, for people. A task that runs again is another run. */
const runSchema = v.object({
  id,
  attempt: v.optional(count, 0),
  waiting: maybe,
  state: knownState,
})

/** The body may be empty, as the existing worker's is. */
export const heartbeatSchema = v.object({
  running: v.optional(v.nullable(v.pipe(v.array(runSchema), v.maxLength(limits.listed))), null),
  free: v.optional(v.nullable(count), null),
  /** The process of the worker, as it is registered. */
  instance: maybeId,
  /** Why the worker takes no tasks now, for people. */
  paused: maybe,
})
export type Heartbeat = v.InferInput<typeof heartbeatSchema>

export const createTaskSchema = v.object({
  title: required,
  prompt: required,
  agent_type: v.optional(requiredUpTo(limits.name), 'build'),
  priority: v.optional(v.pipe(v.number(), v.integer()), 0),
  metadata: v.optional(smallObject, {}),
  model: maybeUpTo(limits.name),
})
export type CreateTask = v.InferInput<typeof createTaskSchema>

/** The other way to create a task. In its answer, `session_id` is the id of the task. */
export const triggerSchema = v.object({
  prompt: required,
  agent: v.optional(requiredUpTo(limits.name), 'build'),
  model: maybeUpTo(limits.name),
  files: v.optional(v.pipe(v.array(atMost(limits.path)), v.maxLength(limits.listed)), []),
  metadata: v.optional(smallObject, {}),
})

export const statusUpdateSchema = v.object({
  status: required,
  worker_id: id,
  session_id: maybeId,
  result: maybe,
  error: maybe,
  attempt: v.optional(v.nullable(count), null),
  usage: v.optional(v.nullable(usageSchema), null),
  /** With `pending`: false if the run never began, so that the attempt does not count. Ours. */
  began: v.optional(v.nullable(v.boolean()), null),
  /** The last output, stored before the status changes. Position as in `outputSchema`. Ours. */
  output: v.optional(v.nullable(v.object({output: v.string(), offset: count, length: count})), null),
})
export type StatusUpdate = v.InferInput<typeof statusUpdateSchema>

export const outputSchema = v.object({
  worker_id: id,
  output: v.string(),
  timestamp: maybeId,
  attempt: v.optional(v.nullable(count), null),
  /** Position and length in the source spool, in bytes before redaction. Ours. */
  offset: v.optional(v.nullable(count), null),
  length: v.optional(v.nullable(count), null),
})
export type OutputBatch = v.InferInput<typeof outputSchema>

/** For output as a raw body (`application/x-ndjson`): the other fields are in the query. Ours. */
const numeric = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number), count)
export const rawOutputQuerySchema = v.object({
  worker_id: id,
  attempt: numeric,
  offset: numeric,
  length: numeric,
})

/** `attempt`: confirms that the worker has received this assignment. Ours. */
export const claimSchema = v.object({task_id: id, attempt: v.optional(v.nullable(count), null)})
export const releaseSchema = v.object({
  task_id: id,
  status: v.optional(v.string(), 'completed'),
  result: maybe,
  error: maybe,
  attempt: v.optional(v.nullable(count), null),
})
export const declineSchema = v.object({
  task_id: id,
  reason: v.optional(v.string(), ''),
  /** When the worker wants to be offered the task again, in ms from now. */
  retry_ms: v.optional(v.nullable(count), null),
  /** The attempt of the assignment that it declines. */
  attempt: v.optional(v.nullable(count), null),
})

/** `force`: also a running task, if its worker is lost. Ours. */
export const retrySchema = v.object({force: v.optional(v.boolean(), false)})

export const workerCodebasesSchema = v.object({codebases: ids})

// ----------------------------------------------------------------------------------------------------- answers

const wrappedTasksSchema = v.pipe(
  v.object({tasks: v.array(taskSchema)}),
  v.transform(({tasks}) => tasks),
)
const bareTasksSchema = v.array(taskSchema)
/** Accepts both forms of servers. A union would give useless error messages. */
export const taskListSchema = v.lazy((input) => (Array.isArray(input) ? bareTasksSchema : wrappedTasksSchema))
export const workerListSchema = v.array(workerSchema)
export const codebaseListSchema = v.array(codebaseSchema)

export const registerWorkerAnswerSchema = v.object({
  features: v.optional(v.array(v.string()), []),
  /** A Redis URL for workers. Ours. */
  redis_url: nullable,
})

/** The id is in `codebase.id`, or at the top level. */
export const registerCodebaseAnswerSchema = v.pipe(
  v.looseObject({}),
  v.transform((answer: Record<string, unknown>) => answer['codebase'] ?? answer),
  codebaseSchema,
)

export const createTaskAnswerSchema = v.pipe(
  v.object({task: taskSchema}),
  v.transform(({task}) => task),
)

export const triggerAnswerSchema = v.object({session_id: required})

/** `task` and `attempt` come from our control plane only, where a claim sets the task to `running`. */
export const claimAnswerSchema = v.object({
  attempt: v.optional(count),
  lease_seconds: v.optional(v.number()),
  task: v.optional(taskSchema),
})
export type ClaimAnswer = v.InferOutput<typeof claimAnswerSchema>

export const outputChunkSchema = v.object({
  output: v.string(),
  timestamp: nullable,
  worker_id: nullable,
  attempt: v.optional(count, 0),
  offset: v.optional(v.nullable(count), null),
})
export type OutputChunk = v.InferOutput<typeof outputChunkSchema>

export const outputPageSchema = v.object({
  task_id: v.string(),
  outputs: v.array(outputChunkSchema),
  total: count,
  /** Start of the next page. Ours. */
  next: v.optional(count),
  /** Whether older output was dropped. Ours. */
  truncated: v.optional(v.boolean(), false),
  /** Size of the output of this task that was dropped so far. Ours. */
  dropped_bytes: v.optional(count, 0),
})
export type OutputPage = v.InferOutput<typeof outputPageSchema>

export const outputAcknowledgementSchema = v.object({next: v.optional(v.nullable(count), null)})

export const cancelEventSchema = v.pipe(
  v.looseObject({}),
  v.transform((event: Record<string, unknown>) => ({...event, id: event['id'] ?? event['task_id']})),
  v.object({id: required, attempt: v.optional(count, 0), reason: v.optional(v.nullable(v.string()), null)}),
)

export const connectedWorkerSchema = v.object({
  worker_id: required,
  agent_name: text(),
  is_busy: v.optional(v.boolean(), false),
  codebases: v.optional(v.array(v.string()), []),
})

export const connectedWorkersSchema = v.object({workers: v.array(connectedWorkerSchema)})

/** `degraded` comes with the reason. Both words are for people: the request was answered. */
export const healthSchema = v.object({
  status: v.string(),
  version: v.optional(v.string()),
  problem: v.optional(v.nullable(v.string()), null),
})

export const monitorWorkersSchema = v.object({
  workers: v.array(
    v.object({
      id: v.string(),
      name: text(),
      status: text(),
      last_heartbeat: nullable,
      codebases: v.optional(v.number(), 0),
      tasks_completed: v.optional(v.nullable(v.number()), null),
      hostname: nullable,
      connected: v.optional(v.boolean(), false),
      running: v.optional(v.number(), 0),
      /** Why it takes no tasks now. */
      paused: nullable,
    }),
  ),
})
export type MonitorWorker = v.InferOutput<typeof monitorWorkersSchema>['workers'][number]

/** The error body of the existing server: a text, or the list of a validation error. */
export const errorBodySchema = v.object({
  detail: v.union([
    v.string(),
    v.array(v.looseObject({loc: v.optional(v.array(v.unknown()), []), msg: v.optional(v.string(), '')})),
  ]),
  next: v.optional(count),
})
