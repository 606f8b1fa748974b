import * as v from 'valibot'

/** What a local command may ask of a running worker: one JSON object a line. */
export const requestSchema = v.variant('op', [
  v.object({op: v.literal('status')}),
  v.object({op: v.literal('events')}),
  v.object({op: v.literal('drain')}),
  v.object({op: v.literal('detach')}),
  v.object({op: v.literal('cancel'), task_id: v.string()}),
  v.object({op: v.literal('sync-sessions'), all: v.boolean()}),
  v.object({op: v.literal('add-codebase'), name: v.string(), path: v.string(), description: v.string()}),
])
export type ControlRequest = v.InferOutput<typeof requestSchema>

export const workerStatusSchema = v.object({
  name: v.string(),
  worker_id: v.string(),
  pid: v.number(),
  version: v.string(),
  phase: v.string(),
  link: v.string(),
  server: v.string(),
  slots: v.number(),
  free: v.number(),
  codebases: v.array(v.object({id: v.string(), path: v.string()})),
  tasks: v.array(
    v.object({
      id: v.string(),
      title: v.string(),
      attempt: v.number(),
      phase: v.string(),
      codebase: v.string(),
      since: v.number(),
      session_id: v.nullable(v.string()),
    }),
  ),
})
export type WorkerStatus = v.InferOutput<typeof workerStatusSchema>

/** What a sync of sessions came to, a codebase each. */
export const syncedSchema = v.array(
  v.object({
    codebase_id: v.string(),
    directory: v.string(),
    sessions: v.number(),
    changed: v.number(),
    removed: v.number(),
    messages: v.number(),
  }),
)
export type Synced = v.InferOutput<typeof syncedSchema>

export const answerSchema = v.union([
  v.object({ok: v.literal(true), value: v.optional(v.unknown())}),
  v.object({ok: v.literal(false), error: v.string()}),
])
