import * as v from 'valibot'
import {levelSchema, connectionSchema, phaseSchema, troubleKindSchema} from '../events/worker-event.ts'
import {containments} from '../protocol/containment.ts'
import {agentStateSchema} from '../protocol/agent-state.ts'
import {finalStatuses} from '../protocol/statuses.ts'
import {openQuestionsSchema} from '../protocol/task-input.ts'

/** The requests of local commands to a running worker. Each is one line of JSON. */
export const requestSchema = v.variant('op', [
  v.object({op: v.literal('status')}),
  v.object({op: v.literal('events')}),
  v.object({op: v.literal('drain')}),
  v.object({op: v.literal('detach')}),
  v.object({op: v.literal('pause')}),
  v.object({op: v.literal('resume')}),
  v.object({op: v.literal('cancel'), task_id: v.string()}),
  v.object({op: v.literal('create-task'), codebase_id: v.string(), prompt: v.string()}),
  /** Answers a question of a task, or says something to it. */
  v.object({
    op: v.literal('say'),
    task_id: v.string(),
    question: v.nullable(v.string()),
    option: v.nullable(v.string()),
    text: v.nullable(v.string()),
  }),
  v.object({op: v.literal('sync-sessions'), all: v.boolean()}),
  v.object({op: v.literal('add-codebase'), name: v.string(), path: v.string(), description: v.string()}),
])
export type ControlRequest = v.InferOutput<typeof requestSchema>

/** What everybody may ask who can open the socket. All else steers the worker. */
export const isReading = ({op}: ControlRequest): boolean => op === 'status' || op === 'events'

/** The client's answer to `prove`: see `peer-proof.ts`. */
export const proofSchema = v.object({pid: v.number()})

/** The newest lines, and the number of older lines that were dropped. */
const linesSchema = v.object({dropped: v.number(), items: v.array(v.string())})
const noLines = {dropped: 0, items: []}

const taskSchema = v.object({
  id: v.string(),
  title: v.string(),
  attempt: v.number(),
  phase: v.picklist(['claiming', 'starting', 'running', 'stopping', 'reporting']),
  codebase: v.string(),
  since: v.number(),
  session_id: v.nullable(v.string()),
  agent: v.optional(v.nullable(v.string()), null),
  pid: v.optional(v.nullable(v.number()), null),
  /** Why its agent waits for the provider. */
  waiting: v.optional(v.nullable(v.string()), null),
  /** What its agent does now. */
  agent_state: v.optional(v.nullable(agentStateSchema), null),
  /** What its agent asks now. */
  questions: v.optional(openQuestionsSchema, []),
  lines: v.optional(linesSchema, noLines),
})

const endedSchema = v.object({
  id: v.string(),
  title: v.string(),
  attempt: v.number(),
  codebase: v.string(),
  status: v.picklist(finalStatuses),
  ms: v.number(),
  cost: v.number(),
  error: v.nullable(v.string()),
  refusal: v.optional(v.nullable(v.string()), null),
  at: v.number(),
})

const waitingSchema = v.object({
  id: v.string(),
  title: v.string(),
  path: v.optional(v.string(), ''),
  reason: v.string(),
  since: v.number(),
  at: v.number(),
})

const logSchema = v.object({
  dropped: v.number(),
  items: v.array(v.object({at: v.number(), level: levelSchema, text: v.string(), task_id: v.nullable(v.string())})),
})

/** The disk of the state directory. Sizes are in bytes. */
const diskSchema = v.object({
  path: v.string(),
  free: v.number(),
  /** The worker takes no tasks if less is free. 0: no minimum. */
  minimum: v.number(),
  is_low: v.boolean(),
  /** How many files can still be created. Null: no such limit, or not known. */
  free_inodes: v.optional(v.nullable(v.number()), null),
  /** Disk usage of the files of ended runs. */
  runs: v.object({tasks: v.number(), bytes: v.number()}),
})

const count = v.optional(v.number(), 0)

/**
 * The current status of a worker. Together with the events that follow, a client can show the same view as the worker.
 * An older worker does not send the optional fields.
 */
export const workerStatusSchema = v.object({
  name: v.string(),
  worker_id: v.string(),
  pid: v.number(),
  version: v.string(),
  phase: phaseSchema,
  /** What the start waits for. */
  startup: v.optional(v.nullable(v.object({step: v.string(), since: v.number()})), null),
  paused: v.optional(v.boolean(), false),
  /** Why the worker takes no tasks, or none of a provider (`name`). */
  troubles: v.optional(
    v.array(v.object({kind: troubleKindSchema, name: v.string(), reason: v.string(), since: v.number()})),
    [],
  ),
  disk: v.optional(v.nullable(diskSchema), null),
  /** What keeps the processes of its runs together. */
  containment: v.optional(v.nullable(v.picklist(containments)), null),
  /** The agents besides OpenCode that tasks can name. */
  agents: v.optional(v.array(v.string()), []),
  farewell: v.optional(v.nullable(v.string()), null),
  link: connectionSchema,
  link_since: v.optional(v.nullable(v.number()), null),
  link_reason: v.optional(v.string(), ''),
  server: v.string(),
  slots: v.number(),
  free: v.number(),
  codebases: v.array(v.object({id: v.string(), name: v.optional(v.string(), ''), path: v.string()})),
  /** Codebases that are not served. */
  refused: v.optional(v.array(v.object({name: v.string(), path: v.string(), reason: v.string()})), []),
  tasks: v.array(taskSchema),
  waiting: v.optional(v.array(waitingSchema), []),
  waiting_more: count,
  /** Newest first. */
  ended: v.optional(v.array(endedSchema), []),
  totals: v.optional(v.object({completed: count, failed: count, cancelled: count, cost: count}), {}),
  log: v.optional(logSchema, noLines),
  log_level: v.optional(levelSchema, 'info'),
})
export type WorkerStatus = v.InferOutput<typeof workerStatusSchema>

/** The result of a session sync, one entry per codebase. */
export const syncReportSchema = v.array(
  v.object({
    codebase_id: v.string(),
    directory: v.string(),
    sessions: v.number(),
    changed: v.number(),
    removed: v.number(),
    messages: v.number(),
  }),
)
export type SyncReport = v.InferOutput<typeof syncReportSchema>

export const answerSchema = v.union([
  v.object({ok: v.literal(true), value: v.optional(v.unknown())}),
  /** `prove`: the client must first prove which process it is. An older one shows the error. */
  v.object({ok: v.literal(false), error: v.string(), prove: v.optional(v.string())}),
])
