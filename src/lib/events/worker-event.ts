import * as v from 'valibot'
import {agentStateSchema} from '../protocol/agent-state.ts'
import {usageSchema} from '../protocol/schemas.ts'
import {finalStatuses} from '../protocol/statuses.ts'
import {inputOutcomes, openQuestionsSchema} from '../protocol/task-input.ts'

const phases = ['idle', 'starting', 'running', 'draining', 'stopping', 'stopped', 'failed'] as const
export const connections = ['stream', 'broker', 'poll', 'down'] as const
const levels = ['debug', 'info', 'warn', 'error'] as const

/** The phases of a worker. `worker/lifecycle.ts` has the table of allowed transitions. */
export const phaseSchema = v.picklist(phases)
export type Phase = v.InferOutput<typeof phaseSchema>

/** How tasks reach the worker now. */
export const connectionSchema = v.picklist(connections)
export type Connection = v.InferOutput<typeof connectionSchema>

export const levelSchema = v.picklist(levels)

const taskSourceSchema = v.picklist(['stream', 'poll', 'recovery'])
export type TaskSource = v.InferOutput<typeof taskSourceSchema>

/** Why a worker takes no tasks, apart from its disk and its operator. */
export const troubleKinds = ['identity', 'agent', 'provider'] as const
export const troubleKindSchema = v.picklist(troubleKinds)
export type TroubleKind = v.InferOutput<typeof troubleKindSchema>

const event = <T extends string, F extends v.ObjectEntries>(type: T, fields: F) =>
  v.object({at: v.number(), type: v.literal(type), ...fields})

const text = v.string()
const taskId = v.string()

/**
 * All events of a worker, as plain JSON. They are logged, shown on the dashboard, and sent over the local socket. Readers
 * of the socket validate them with this schema, because the worker may have another version. `at` is in Unix ms.
 */
export const workerEventSchema = v.variant('type', [
  event('phase.changed', {from: phaseSchema, to: phaseSchema}),
  /** What the start waits for. */
  event('startup.changed', {step: text}),
  event('link.changed', {link: connectionSchema, reason: text}),
  event('broker.changed', {isUp: v.boolean(), reason: text}),
  event('worker.registered', {workerId: text, name: text, server: text, first: v.boolean()}),
  event('codebase.registered', {codebaseId: text, name: text, path: text}),
  event('codebase.refused', {name: text, path: text, reason: text}),
  /** The codebase is no longer configured. */
  event('codebase.removed', {name: text, path: text}),
  /** The configuration was reloaded. Contains the changed keys, and the settings that views show. */
  event('settings.reloaded', {changed: v.array(text), slots: v.number(), logLevel: levelSchema}),
  /** `since`: when the run began, if that was earlier (Unix ms). */
  event('task.received', {
    taskId,
    title: text,
    source: taskSourceSchema,
    attempt: v.number(),
    path: text,
    since: v.exactOptional(v.number()),
  }),
  /** This worker has claimed the task. */
  event('task.claimed', {taskId, attempt: v.number()}),
  event('task.waiting', {taskId, title: text, reason: text, path: v.exactOptional(text)}),
  event('task.dropped', {taskId, reason: text}),
  event('task.started', {
    taskId,
    attempt: v.number(),
    title: text,
    path: text,
    agent: text,
    pid: v.nullable(v.number()),
  }),
  event('task.session', {taskId, sessionId: text}),
  /** `text`: the complete text, bounded, if the line is shortened. */
  event('task.activity', {taskId, line: text, text: v.exactOptional(text)}),
  /** The agent waits for its model provider. `until`: Unix ms, null if unknown. Without `message`: no longer. */
  event('task.provider', {
    taskId,
    provider: v.nullable(text),
    message: v.nullable(text),
    until: v.nullable(v.number()),
  }),
  /** What the agent does now. Emitted about once a second at most. */
  event('task.state', {taskId, ...agentStateSchema.entries}),
  /** All that the agent asks now. */
  event('task.questions', {taskId, questions: openQuestionsSchema}),
  /** What became of something that a person has said to the task. */
  event('task.input', {taskId, inputId: text, outcome: v.picklist(inputOutcomes), reason: v.nullable(text)}),
  event('task.stopping', {taskId, reason: text}),
  event('task.finished', {
    taskId,
    status: v.picklist(finalStatuses),
    ms: v.number(),
    error: v.nullable(text),
    cost: v.number(),
    /** Tokens and model. Absent if nothing ran. */
    usage: v.exactOptional(usageSchema),
  }),
  event('task.reported', {taskId, status: v.picklist(finalStatuses)}),
  /** `kept`: the file with the report, or null if it could not be written. */
  event('task.refused', {taskId, reason: text, kept: v.optional(v.nullable(text), null)}),
  /** The waiting tasks of this worker's codebases. Emitted only while somebody watches. `more`: number of unlisted tasks. */
  event('queue.changed', {
    tasks: v.array(
      v.object({
        id: taskId,
        title: text,
        reason: v.nullable(text),
        since: v.nullable(v.number()),
        path: v.exactOptional(text),
      }),
    ),
    more: v.number(),
  }),
  event('pause.changed', {isPaused: v.boolean()}),
  /** The worker pauses (or resumes) because of free disk space. Sizes in bytes. */
  event('disk.changed', {
    isLow: v.boolean(),
    path: text,
    free: v.number(),
    minimum: v.number(),
    /** How many files can still be created, if these are too few. */
    freeInodes: v.optional(v.nullable(v.number()), null),
    /** Free space at which the worker resumes. */
    wanted: v.number(),
  }),
  /**
   * Why the worker takes no tasks, or null when that is over. `provider`: it takes no tasks for the provider `name`.
   */
  event('trouble.changed', {kind: troubleKindSchema, name: v.optional(text, ''), reason: v.nullable(text)}),
  event('stop.requested', {step: v.picklist(['drain', 'cancel', 'detach', 'exit']), by: text, hint: text}),
  event('notice', {level: levelSchema, text, taskId: v.exactOptional(taskId)}),
])
export type WorkerEvent = v.InferOutput<typeof workerEventSchema>

/** An event without its time, as it is passed to the bus. */
export type EventBody<E = WorkerEvent> = E extends WorkerEvent ? Omit<E, 'at'> : never
