import type {AuditEntry} from '../../protocol/audit-schemas.ts'
import type {Codebase, OutputChunk, Task, Worker} from '../../protocol/schemas.ts'

/** A task as it is stored: the fields of the wire, and what dispatch and output need. */
export type StoredTask = Omit<Task, 'waiting'> & {
  /** Order of creation. */
  n: number
  /** Capabilities that a worker must have to run it. */
  required: string[] | null
  /** Size of its stream frame with the prompt, in bytes. */
  frame_size: number
  /** Offset of the next output of this attempt in its spool, in bytes. */
  output_next: number
  /** How many pieces of output there are over all attempts. Those before `output_first` were dropped. */
  output_seq: number
  output_first: number
  /** Size of the stored output and result, in UTF-16 units. */
  output_chars: number
  /** Size of the output that was dropped, in bytes. */
  output_lost: number
}

export type NewTask = Pick<
  StoredTask,
  | 'id'
  | 'codebase_id'
  | 'title'
  | 'prompt'
  | 'agent_type'
  | 'model'
  | 'priority'
  | 'metadata'
  | 'required'
  | 'frame_size'
  | 'created_by'
> & {created_at: string}

export type TaskPatch = Partial<Omit<StoredTask, 'n' | 'id' | 'codebase_id' | 'prompt' | 'required'>> & {
  /** 0 lets retention drop the output again. */
  output_dropped?: 0
}

/** The fields of a pending task that dispatch needs. */
export type PendingTask = Pick<StoredTask, 'n' | 'id' | 'codebase_id' | 'priority' | 'frame_size' | 'required'>

export type TaskQuery = {
  status?: string | undefined
  codebase_id?: string | undefined
  /** Tasks that this worker holds or held, and unassigned ones of its codebases. */
  worker_id?: string | undefined
  /** Only tasks that this worker may read: it holds or held them, serves their codebase, or may take them. */
  readable_by?: {worker_id: string; shared_codebases: readonly string[]} | undefined
  /** Only tasks whose id begins with this. */
  id_prefix?: string | undefined
  /** Default: highest priority first, then oldest. */
  order?: TaskOrder | undefined
  /** Only tasks after this position in the order. */
  after?: {priority: number; n: number} | undefined
}

export const taskOrders = ['newest', 'oldest'] as const
export type TaskOrder = (typeof taskOrders)[number]

export interface TaskStore {
  insert(task: NewTask): void
  get(id: string): StoredTask | undefined
  update(id: string, patch: TaskPatch): void
  /** In order, lazily. Of a long result or error only the end is returned. */
  list(query: TaskQuery): Iterable<StoredTask>
  /** The pending tasks of a codebase, in order, lazily. */
  pendingOf(codebaseId: string): Iterable<PendingTask>
  running(): Iterable<StoredTask>
  runningOf(workerId: string): StoredTask[]
  /** Ids of running tasks whose holder was lost before `time`. */
  lostBefore(time: string): string[]
  /** Number of tasks by status, of one codebase or of all. */
  counts(codebaseId?: string): Record<string, number>
}

export type NewOutput = Omit<OutputChunk, 'worker_id' | 'timestamp'> & {
  task_id: string
  seq: number
  length: number | null
  worker_id: string
  timestamp: string
}
export type StoredOutput = OutputChunk & {seq: number}

export interface OutputStore {
  append(output: NewOutput): void
  /** Pieces from `since` on, in order, lazily. */
  read(taskId: string, since: number): Iterable<StoredOutput>
  /** Size of the stored output of all ended tasks, in UTF-16 units. */
  storedChars(): number
  /** The task that ended first, of those with stored output. */
  oldest(): {task_id: string; completed_at: string} | undefined
  /**
   * Drops about this many bytes from the beginning of a task's output. When none is left, also shortens the result to
   * what lists show. Returns how much was dropped.
   */
  drop(taskId: string, bytes: number): number
}

export type StoredWorker = Omit<Worker, 'connected' | 'running' | 'status' | 'registered_at' | 'last_seen'> & {
  registered_at: string
  last_seen: string
  unregistered_at: string | null
  tasks_completed: number
  /** Identifies its machine, as a hash. */
  machine_id: string | null
  /** Hash of the worker's token that it registered with. Null: a token of another scope, or none. */
  token: string | null
  /** A person has declared it dead. */
  forgotten_at: string | null
}
export type StoredCodebase = Pick<
  Codebase,
  'id' | 'name' | 'path' | 'description' | 'agent_config' | 'last_triggered'
> & {worker_id: string; registered_at: string; tree: string | null}

export interface RegistryStore {
  putWorker(worker: Omit<StoredWorker, 'unregistered_at' | 'tasks_completed' | 'forgotten_at'>): void
  worker(id: string): StoredWorker | undefined
  /** Registered workers; with `all` unregistered ones too, but none that was forgotten. Model lists are long: omit them where possible. */
  workers(options?: {all?: boolean; withModels?: boolean}): StoredWorker[]
  hasWorkers(): boolean
  counts(): {workers: number; codebases: number}
  /** Sets `last_seen`. Returns false if there is no such worker. */
  recordContact(workerId: string, at: string): boolean
  unregister(workerId: string, at: string): void
  countCompleted(workerId: string): void
  /** Marks an unregistered worker as forgotten and frees its tokens. */
  forget(workerId: string, at: string): void
  /** Other workers of the same machine, or with the same name and host. They may be earlier processes of this one. */
  relatedWorkers(worker: StoredWorker): StoredWorker[]

  putCodebase(codebase: StoredCodebase): void
  codebase(id: string): StoredCodebase | undefined
  codebases(): StoredCodebase[]
  codebasesOf(workerId: string): StoredCodebase[]
  codebaseAt(workerId: string, path: string): StoredCodebase | undefined
  recordTrigger(codebaseId: string, at: string): void
  removeCodebase(id: string): void

  binding(token: string): string | undefined
  bind(token: string, workerId: string): void
  tokensBoundTo(workerId: string): string[]
  idempotentRequest(key: string): {request: string; task_id: string; created_at: string} | undefined
  saveIdempotentRequest(entry: {key: string; request: string; task_id: string; created_at: string}): void
  deleteIdempotentRequestsBefore(time: string): void
}

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
export type StoredMessage = {n: number; at: string; data: string}

export interface SessionStore {
  /** `now` is used if the session has no time. */
  put(session: NewSession, now: string): void
  putMessage(message: NewMessage, now: string): void
  /** Removes all sessions except these. */
  deleteOthers(owner: string, ids: readonly string[]): void
  deleteOtherMessages(owner: string, sessionId: string, ids: readonly string[]): void
  /** Removes sessions with their messages. */
  remove(owner: string, ids: readonly string[]): void
  removeOwner(owner: string): void
  /** Removes the longest unchanged sessions and messages, down to these limits. */
  trim(owner: string, limits: {sessions: number; messageBytes: number}): void
  /** Removes the oldest messages of a session, and records the size of the rest. */
  trimMessages(owner: string, sessionId: string, messages: number): void
  recordSync(owner: string, at: string): void
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
/** The next number is given by the store. */
export type NewAuditEntry = Omit<AuditEntry, 'n'>

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

export interface AuditStore {
  append(entry: NewAuditEntry): void
  /** Looks at a limited number of entries, so that a rare one does not block the event loop. May return none. */
  page(query: AuditQuery, limit: number): AuditPage
  /** Removes some of the oldest entries, if they are over a limit. Returns whether there may be more. */
  prune(limits: {before: string; maxRows: number}): boolean
  /** Records the first use of a token, by its hash. Returns false if it was used before. */
  recordUse(token: string): boolean
}

export type SessionPlace = Pick<StoredSession, 'updated_at' | 'id' | 'owner'>

/**
 * The state of the control plane. Calls are synchronous and see each other's effects at once. The control plane groups
 * them into transactions (`CommitGroup`). A rule is checked and applied in one turn of the event loop.
 */
export type Store = {
  tasks: TaskStore
  output: OutputStore
  registry: RegistryStore
  sessions: SessionStore
  audit: AuditStore
  /** Size of the store in bytes, without space that was freed. */
  size(): number
  /** Freed space in the store, in bytes. */
  reusable(): number
}
