import * as v from 'valibot'
import {isoTime, parseTime} from '../core/clock.ts'
import {limits} from './limits.ts'

/** Sessions of the agent and their messages, as workers send them and clients read them. */

const required = v.pipe(v.string(), v.minLength(1))
const id = v.pipe(v.string(), v.minLength(1), v.maxLength(255))
const nullable = v.optional(v.nullable(v.string()), null)
const anything = v.record(v.string(), v.unknown())

/** Larger numbers are milliseconds, smaller ones seconds. This is the existing server's rule. */
const maxSeconds = 1e11
/** The largest time value of a Date. */
const maxTime = 8.64e15

/** Converts a time in any form that workers send to RFC 3339 with Z. Null if it is not a time. */
function toIso(time: string | number | null | undefined): string | null {
  const ms = typeof time === 'number' ? time * (Math.abs(time) > maxSeconds ? 1 : 1000) : parseTime(time)
  return ms === undefined || !(Math.abs(ms) <= maxTime) ? null : isoTime(ms)
}

/** With a zone, without one (UTC), or a number of seconds or milliseconds since 1970. */
const time = v.pipe(v.nullish(v.union([v.string(), v.number()])), v.transform(toIso))
const maybeTime = v.optional(time, null)

/** One session in a sync. The existing worker sends `created` and `updated`. Other names are in use too. */
export const sessionInputSchema = v.object({
  id,
  title: v.optional(v.nullish(v.string(), ''), ''),
  created: maybeTime,
  updated: maybeTime,
  created_at: maybeTime,
  updated_at: maybeTime,
  messageCount: v.optional(v.nullable(v.number()), null),
  directory: nullable,
  project_id: nullable,
  version: nullable,
  summary: v.optional(v.nullable(v.unknown()), null),
})
export type SessionInput = v.InferOutput<typeof sessionInputSchema>

/**
 * All sessions of a codebase. Sessions that are not listed were deleted. `partial` (ours): only changes since the last
 * sync, and the ids of deleted sessions.
 */
export const syncSessionsSchema = v.object({
  worker_id: required,
  sessions: v.array(sessionInputSchema),
  partial: v.optional(v.boolean(), false),
  deleted: v.optional(v.pipe(v.array(v.string()), v.maxLength(limits.sessions)), []),
})
export type SyncSessions = v.InferInput<typeof syncSessionsSchema>

/** A message in OpenCode's format, with its parts. Other fields are stored too. */
export const messageInputSchema = v.looseObject({
  id,
  role: v.optional(v.nullish(v.string(), ''), ''),
  time: v.optional(v.nullable(v.looseObject({created: maybeTime}))),
  model: v.optional(v.nullable(v.union([v.string(), v.looseObject({})]))),
  parts: v.optional(v.nullish(v.array(anything), []), []),
})
export type MessageInput = v.InferOutput<typeof messageInputSchema>

/** All messages of a session. `partial` (ours): only new and changed ones. */
export const syncMessagesSchema = v.object({
  worker_id: required,
  messages: v.array(messageInputSchema),
  partial: v.optional(v.boolean(), false),
})
export type SyncMessages = v.InferInput<typeof syncMessagesSchema>

/** Resumes a session by a task with this prompt. */
export const resumeSchema = v.object({
  prompt: v.optional(v.nullable(v.string()), null),
  agent: v.optional(required, 'build'),
  model: nullable,
})

// ----------------------------------------------------------------------------------------------------- answers

const sessionShape = v.object({
  id,
  title: v.optional(v.nullish(v.string(), ''), ''),
  created: maybeTime,
  updated: maybeTime,
  messageCount: v.optional(v.nullable(v.number()), null),
  directory: nullable,
  project_id: nullable,
  version: nullable,
  summary: v.optional(v.nullable(v.unknown()), null),
  /** Ours. */
  codebase_id: nullable,
  worker_id: nullable,
})

/** A session as clients read it. A row of the existing server's database has other names for the times. */
export const sessionSchema = v.pipe(
  v.looseObject({}),
  v.transform((row: Record<string, unknown>) => ({
    ...row,
    created: row['created'] ?? row['created_at'],
    updated: row['updated'] ?? row['updated_at'],
  })),
  sessionShape,
)
export type Session = v.InferOutput<typeof sessionSchema>

export const sessionListSchema = v.object({sessions: v.array(sessionSchema), source: nullable, synced_at: nullable})

export const messageSchema = v.looseObject({
  id: v.string(),
  role: v.optional(v.nullish(v.string(), ''), ''),
  time: v.optional(v.nullable(v.looseObject({created: maybeTime}))),
  model: nullable,
  parts: v.optional(v.nullish(v.array(anything), []), []),
})
export type Message = v.InferOutput<typeof messageSchema>

export const messageListSchema = v.object({
  messages: v.array(messageSchema),
  session_id: v.string(),
  source: nullable,
  synced_at: nullable,
})
