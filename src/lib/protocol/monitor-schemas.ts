import * as v from 'valibot'

const required = v.pipe(v.string(), v.minLength(1))
const nullable = v.optional(v.nullable(v.string()), null)
const nullableNumber = v.optional(v.nullable(v.number()), null)

export const monitorMessageTypes = ['system', 'agent', 'human', 'error'] as const

/** A message of the monitoring log. `response_time`: duration of a task in milliseconds. */
export const monitorMessageSchema = v.object({
  id: v.string(),
  timestamp: v.string(),
  type: v.picklist(monitorMessageTypes),
  agent_name: v.string(),
  content: v.string(),
  metadata: v.record(v.string(), v.unknown()),
  response_time: nullableNumber,
  tokens: nullableNumber,
  error: nullable,
})
export type MonitorMessage = v.InferOutput<typeof monitorMessageSchema>

/** Counters since the control plane started. */
export const monitorStatsSchema = v.object({
  total_messages: v.number(),
  tool_calls: v.number(),
  errors: v.number(),
  tokens: v.number(),
  avg_response_time: v.number(),
  active_agents: v.number(),
  interventions: v.number(),
})

export const monitorAgentSchema = v.object({
  id: v.string(),
  name: v.string(),
  status: v.string(),
  messages_count: v.number(),
  last_seen: nullable,
})

export const searchQuerySchema = v.object({
  q: required,
  limit: v.optional(v.string()),
  type: v.optional(v.string()),
})

export const interveneSchema = v.object({
  agent_id: required,
  message: required,
  timestamp: nullable,
})

/** A link to the monitor page of a control plane. Ours. */
/** A copy of the database, on the machine of the control plane. Ours. `bytes`: its size. */
export const backupSchema = v.object({success: v.boolean(), file: v.string(), bytes: v.number()})
export type BackupAnswer = v.InferOutput<typeof backupSchema>

export const pageLinkSchema = v.object({
  success: v.boolean(),
  /** Without the address of the control plane. It begins with a slash. */
  path: v.pipe(v.string(), v.regex(/^\/(?!\/)/)),
  /** For how many seconds it works. Null: it is an ordinary address, because no login is needed. */
  expires_in: v.nullable(v.number()),
})
export type PageLinkAnswer = v.InferOutput<typeof pageLinkSchema>
