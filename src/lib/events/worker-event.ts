import * as v from 'valibot'
import {finalStatuses} from '../protocol/statuses.ts'

const phases = ['idle', 'starting', 'running', 'draining', 'stopping', 'stopped', 'failed'] as const
const connections = ['stream', 'broker', 'poll', 'down'] as const
const levels = ['debug', 'info', 'warn', 'error'] as const

/** The states of a worker's life; the table of allowed changes is beside the code that makes them. */
export const phaseSchema = v.picklist(phases)
export type Phase = v.InferOutput<typeof phaseSchema>

/** How tasks reach the worker now. */
export const connectionSchema = v.picklist(connections)
export type Connection = v.InferOutput<typeof connectionSchema>

export const levelSchema = v.picklist(levels)

const taskSourceSchema = v.picklist(['stream', 'poll', 'recovery'])
export type TaskSource = v.InferOutput<typeof taskSourceSchema>

const event = <T extends string, F extends v.ObjectEntries>(type: T, fields: F) =>
  v.object({at: v.number(), type: v.literal(type), ...fields})

const text = v.string()
const taskId = v.string()

/**
 * Everything a worker can tell the world. Plain JSON: it is logged, drawn, and streamed as it is; whoever listens on
 * the local socket reads it with this, so that another version's events do no harm. `at` is ms since 1970.
 */
export const workerEventSchema = v.variant('type', [
  event('phase.changed', {from: phaseSchema, to: phaseSchema}),
  event('link.changed', {link: connectionSchema, reason: text}),
  event('broker.changed', {isUp: v.boolean(), reason: text}),
  event('worker.registered', {workerId: text, name: text, server: text, first: v.boolean()}),
  event('codebase.registered', {codebaseId: text, name: text, path: text}),
  event('codebase.refused', {name: text, path: text, reason: text}),
  /** It is no longer among those that are to be served. */
  event('codebase.removed', {name: text, path: text}),
  /** The settings were read anew: what has changed, and those of them that views show. */
  event('settings.reloaded', {changed: v.array(text), slots: v.number(), logLevel: levelSchema}),
  /** `since`: when it began, where that was earlier. */
  event('task.received', {
    taskId,
    title: text,
    source: taskSourceSchema,
    attempt: v.number(),
    path: text,
    since: v.exactOptional(v.number()),
  }),
  /** The task is this worker's. */
  event('task.claimed', {taskId, attempt: v.number()}),
  event('task.waiting', {taskId, title: text, reason: text}),
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
  /** `text`: all of it, bounded, where the line is not. */
  event('task.activity', {taskId, line: text, text: v.exactOptional(text)}),
  event('task.stopping', {taskId, reason: text}),
  event('task.finished', {
    taskId,
    status: v.picklist(finalStatuses),
    ms: v.number(),
    error: v.nullable(text),
    cost: v.number(),
  }),
  event('task.reported', {taskId, status: v.picklist(finalStatuses)}),
  /** `kept`: the file that the report is in; null where it could not be written. */
  event('task.refused', {taskId, reason: text, kept: v.optional(v.nullable(text), null)}),
  /** What waits on the server for this worker; told only while somebody watches. `more`: how many are not listed. */
  event('queue.changed', {
    tasks: v.array(v.object({id: taskId, title: text, reason: v.nullable(text), since: v.nullable(v.number())})),
    more: v.number(),
  }),
  event('pause.changed', {isPaused: v.boolean()}),
  /** Whether no task is taken as too little is free on the disk of the state; sizes in bytes. */
  event('disk.changed', {
    isLow: v.boolean(),
    path: text,
    free: v.number(),
    minimum: v.number(),
    /** So much must be free for tasks to be taken again. */
    wanted: v.number(),
  }),
  event('stop.requested', {step: v.picklist(['drain', 'cancel', 'detach', 'exit']), by: text, hint: text}),
  event('notice', {level: levelSchema, text, taskId: v.exactOptional(taskId)}),
])
export type WorkerEvent = v.InferOutput<typeof workerEventSchema>

/** An event without its time, as it is handed to the bus. */
export type EventBody<E = WorkerEvent> = E extends WorkerEvent ? Omit<E, 'at'> : never
