import * as v from 'valibot'

/** What the audit of a control plane records. */
export const audited = [
  'task.created',
  'task.cancelled',
  'task.retried',
  'task.ended',
  'task.answered',
  'task.told',
  'worker.registered',
  'worker.unregistered',
  'worker.forgotten',
  'codebase.registered',
  'codebase.removed',
  'token.bound',
  'token.first-used',
  'tokens.read',
  'page.login',
  'page.logout',
  'request.refused',
] as const
export type Audited = (typeof audited)[number]

const maybe = v.optional(v.nullable(v.string()), null)

/** An entry of the audit. Ours; the existing server has none. */
export const auditEntrySchema = v.object({
  /** Counts upwards. */
  n: v.number(),
  at: v.string(),
  /** One of `audited`. A newer control plane may know more. */
  what: v.string(),
  /** The name of the token that was used. Null without tokens, and if nobody asked for it: a lease has expired. */
  who: maybe,
  task_id: maybe,
  worker_id: maybe,
  /** For people. */
  detail: maybe,
  /** How often it happened within a minute: refusals are counted. */
  count: v.optional(v.number(), 1),
})
export type AuditEntry = v.InferOutput<typeof auditEntrySchema>

export const auditSchema = v.object({entries: v.array(auditEntrySchema)})
