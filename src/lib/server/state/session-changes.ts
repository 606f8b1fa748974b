/** A session. Its owner is a codebase id, or `global:WORKER` for a worker without a global codebase of its own. */
export type StoredSession = {
  owner: string
  id: string
  worker_id: string
  title: string
  directory: string | null
  project_id: string | null
  version: string | null
  /** JSON. */
  summary: string | null
  created_at: string | null
  updated_at: string
  message_count: number | null
}
/** Without `updated_at` the stored value is retained. */
export type NewSession = Omit<StoredSession, 'updated_at'> & {updated_at: string | null}
/** `at`: when the message was written, if known. `data`: the message as JSON. */
export type NewMessage = {owner: string; session_id: string; id: string; at: string | null; data: string}

/** Changes of sessions and messages. No rule reads those: the worker that owns them decides. */
export type SessionChange =
  /** `now` is used if the session has no time. `ifMissing`: a known session stays as it is. */
  | {do: 'put-session'; session: NewSession; now: string; ifMissing?: boolean}
  | {do: 'put-message'; message: NewMessage; now: string}
  /** Removes sessions with their messages: these, or all others of the owner. */
  | {do: 'remove-sessions'; owner: string; ids: readonly string[]; which: 'these' | 'others'}
  | {do: 'keep-messages'; owner: string; sessionId: string; ids: readonly string[]}
  | {do: 'remove-owner'; owner: string}
  /** Removes the longest unchanged sessions and messages, down to these limits, and records the time of the sync. */
  | {do: 'end-sync'; owner: string; at: string; limits: {sessions: number; messageBytes: number}}
  /** Removes the oldest messages of a session, and records the size of the rest. */
  | {do: 'trim-messages'; owner: string; sessionId: string; messages: number}
