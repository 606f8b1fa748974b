import type {AuditEntry} from '../../protocol/audit-schemas.ts'
import type {OutputChunk} from '../../protocol/schemas.ts'
import type {StoredInput, StoredTask} from '../state/records.ts'
import type {StoredSession} from '../state/session-changes.ts'

export type TaskQuery = {
  status?: string | undefined
  codebase_id?: string | undefined
  /** Tasks that this worker holds or held, and unassigned ones of its codebases. */
  worker_id?: string | undefined
  /** Only tasks that this worker may read: it holds or held them, serves their codebase, or may take them. */
  readable_by?: {worker_id: string; shared_codebases: readonly string[]} | undefined
  /** Only tasks whose id begins with this. */
  id_prefix?: string | undefined
  /** Only tasks with this text in their title. It is looked for in the newest 20,000 tasks before the position. */
  title?: string | undefined
  /** Default: highest priority first, then oldest. */
  order?: TaskOrder | undefined
  /** Only tasks after this position in the order. */
  after?: {priority: number; n: number} | undefined
}

export const taskOrders = ['newest', 'oldest'] as const
export type TaskOrder = (typeof taskOrders)[number]

/** A task that has ended, for statistics. `cost` in US dollars. */
export type EndedTask = {
  status: string
  created_at: string
  started_at: string | null
  completed_at: string
  cost: number | null
  tokens: number | null
}

export interface TaskViews {
  /** In order, lazily. Of a long result or error only the end is returned. */
  list(query: TaskQuery): Iterable<StoredTask>
  /** Number of tasks by status, of one codebase or of all. */
  counts(codebaseId?: string): Record<string, number>
  /** Tasks that have ended since this time, the newest first, at most `limit`. */
  endedSince(time: string, limit: number): EndedTask[]
  /** The tasks that ended last, lazily. Of a long result or error only the end is returned. */
  lastEnded(): Iterable<StoredTask>
}

export type StoredOutput = OutputChunk & {seq: number}

export interface OutputViews {
  /** Pieces from `since` on, in order, lazily. */
  read(taskId: string, since: number): Iterable<StoredOutput>
  /** The number of the first of the newest pieces that have about this many characters together. */
  tailStart(taskId: string, chars: number): number
}

/** `n`: order of arrival, with gaps. */
export type ListedInput = StoredInput & {n: number}

export interface InputViews {
  /** What was said to a task, in order, lazily: after this number, and only in this state. */
  list(taskId: string, query: {after?: number | undefined; state?: string | undefined}): Iterable<ListedInput>
}

export type SessionPlace = Pick<StoredSession, 'updated_at' | 'id' | 'owner'>
export type StoredMessage = {n: number; at: string; data: string}

export interface SessionViews {
  lastSyncAt(owners: readonly string[]): string | null
  get(owners: readonly string[], id: string): StoredSession | undefined
  /** Newest first, lazily: after this position, skipping `offset` sessions. */
  list(
    owners: readonly string[] | 'all',
    from?: {after?: SessionPlace | undefined; offset?: number},
  ): Iterable<StoredSession>
  /** Newest first, lazily. */
  messages(owner: string, sessionId: string, before?: {at: string; n: number}): Iterable<StoredMessage>
  count(): number
}

export type AuditQuery = {
  task_id?: string | undefined
  worker_id?: string | undefined
  /** The name of a token. */
  who?: string | undefined
  /** Only entries from this time on, in the format of the wire. */
  from?: string | undefined
  /** Newest first, before this number (undefined: from the newest on); or oldest first, after this number. */
  start: {before: number | undefined} | {after: number}
}

/** `last`: the number of the last entry that was looked at. Undefined if none is left to look at. */
export type AuditPage = {entries: AuditEntry[]; last: number | undefined}

export interface AuditViews {
  /** Looks at a limited number of entries, so that a rare one does not block the event loop. May return none. */
  page(query: AuditQuery, limit: number): AuditPage
}

/** What routes read of the store, besides the state that rules read. */
export type Views = {
  tasks: TaskViews
  output: OutputViews
  inputs: InputViews
  sessions: SessionViews
  audit: AuditViews
  /** The models that workers announce, by worker: of all, or of this one. */
  models(workerId?: string): Map<string, unknown[]>
  /** Reads something, so that a broken store fails here. */
  probe(): void
  /** Size of the store in bytes, without space that was freed. */
  size(): number
  /** Freed space in the store, in bytes. */
  reusable(): number
}
