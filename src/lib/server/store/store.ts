import type {Codebase, OutputChunk, Task, Worker} from '../../protocol/schemas.ts'

/** A task as it is kept: what the wire shows, and what dispatch and output need to know. */
export type StoredTask = Omit<Task, 'waiting'> & {
  /** Order of creation. */
  n: number
  /** Capabilities a worker must have for it. */
  required: string[] | null
  /** Bytes of the stream frame that would carry it whole. */
  frame_size: number
  /** Where the next output of this attempt begins in its spool. */
  output_next: number
  /** How many pieces of output there are, over all attempts; the first of them may have been dropped. */
  output_seq: number
  output_first: number
  /** What is kept of it, its result included, in UTF-16 units. */
  output_chars: number
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
> & {created_at: string}

export type TaskPatch = Partial<Omit<StoredTask, 'n' | 'id' | 'codebase_id' | 'prompt' | 'required'>> & {
  /** 0: its output is to be dropped again one day. */
  output_dropped?: 0
}

/** The little that dispatch must know of a pending task to place it. */
export type PendingTask = Pick<StoredTask, 'n' | 'id' | 'codebase_id' | 'priority' | 'frame_size' | 'required'>

export type TaskQuery = {
  status?: string | undefined
  codebase_id?: string | undefined
  /** Tasks that this worker holds or held, and unassigned ones of its codebases. */
  worker_id?: string | undefined
  /** Only after this place in the order (priority, highest first, then oldest). */
  after?: {priority: number; n: number} | undefined
}

export interface TaskStore {
  insert(task: NewTask): void
  get(id: string): StoredTask | undefined
  update(id: string, patch: TaskPatch): void
  /** In order, lazily: stop when you have enough. A long result or error comes as its tail. */
  list(query: TaskQuery): Iterable<StoredTask>
  /** What waits for a codebase, in order, lazily. */
  pendingOf(codebaseId: string): Iterable<PendingTask>
  running(): Iterable<StoredTask>
  runningOf(workerId: string): StoredTask[]
  /** Ids of running tasks whose holder has been lost since before `time`. */
  lostBefore(time: string): string[]
  /** How many there are in each state, of one codebase or in all. */
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
  /** How much is kept of tasks that have ended. */
  kept(): number
  /** Of the tasks of which something is kept, the one that ended first. */
  oldest(): {task_id: string; completed_at: string} | undefined
  /**
   * Drops a piece of a task's output from its beginning, about this much; when there is none left, also what its result
   * has beyond what a list shows. Returns how much that was.
   */
  drop(taskId: string, bytes: number): number
}

export type StoredWorker = Omit<Worker, 'connected' | 'running' | 'status' | 'registered_at' | 'last_seen'> & {
  registered_at: string
  last_seen: string
  unregistered_at: string | null
  tasks_completed: number
}
export type StoredCodebase = Pick<
  Codebase,
  'id' | 'name' | 'path' | 'description' | 'agent_config' | 'last_triggered'
> & {worker_id: string; registered_at: string; tree: string | null}

export interface RegistryStore {
  putWorker(worker: Omit<StoredWorker, 'unregistered_at' | 'tasks_completed'>): void
  worker(id: string): StoredWorker | undefined
  /** All that are not unregistered; with `all`, those too. Lists of models are long: leave them out if you can. */
  workers(options?: {all?: boolean; withModels?: boolean}): StoredWorker[]
  hasWorkers(): boolean
  counts(): {workers: number; codebases: number}
  /** False when there is no such worker. */
  seen(workerId: string, at: string): boolean
  unregister(workerId: string, at: string): void
  completed(workerId: string): void
  /** One worker more is known by this name than `workerId`: a former life of it, perhaps. */
  namesakes(worker: StoredWorker): StoredWorker[]

  putCodebase(codebase: StoredCodebase): void
  codebase(id: string): StoredCodebase | undefined
  codebases(): StoredCodebase[]
  codebasesOf(workerId: string): StoredCodebase[]
  codebaseAt(workerId: string, path: string): StoredCodebase | undefined
  triggered(codebaseId: string, at: string): void
  removeCodebase(id: string): void

  binding(token: string): string | undefined
  bind(token: string, workerId: string): void
  remembered(key: string): {request: string; task_id: string; created_at: string} | undefined
  remember(entry: {key: string; request: string; task_id: string; created_at: string}): void
  forgetBefore(time: string): void
}

/** A session, in its home: a codebase, or what a worker without a global codebase keeps apart. */
export type StoredSession = {
  home: string
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
/** Without `updated_at` a session keeps the one that it has. */
export type NewSession = Omit<StoredSession, 'updated_at'> & {updated_at: string | null}
/** `at`: when it was written, if that is known. `data`: the message as JSON. */
export type NewMessage = {home: string; session_id: string; id: string; at: string | null; data: string}
export type StoredMessage = {n: number; at: string; data: string}

export interface SessionStore {
  /** `now` stands in where the session has no time. */
  put(session: NewSession, now: string): void
  putMessage(message: NewMessage, now: string): void
  /** Removes what is not among these ids. */
  keepOnly(home: string, ids: readonly string[]): void
  keepOnlyMessages(home: string, sessionId: string, ids: readonly string[]): void
  /** Sessions with their messages. */
  remove(home: string, ids: readonly string[]): void
  removeHome(home: string): void
  /** Drops what rested longest, down to these bounds. */
  trim(home: string, bounds: {sessions: number; messageBytes: number}): void
  /** Drops the oldest messages of a session, and notes how much the rest takes. */
  trimMessages(home: string, sessionId: string, messages: number): void
  synced(home: string, at: string): void
  syncedAt(homes: readonly string[]): string | null
  get(homes: readonly string[], id: string): StoredSession | undefined
  /** Newest first, lazily, after this place in the order and without the first ones. */
  list(
    homes: readonly string[] | 'all',
    from?: {after?: SessionPlace | undefined; offset?: number},
  ): Iterable<StoredSession>
  /** Newest first, lazily. */
  messages(home: string, sessionId: string, before?: {at: string; n: number}): Iterable<StoredMessage>
  count(): number
}
export type SessionPlace = Pick<StoredSession, 'updated_at' | 'id' | 'home'>

/**
 * Where the control plane keeps its state. Calls are synchronous and see each other's effects at once; the plane
 * groups them into transactions (`CommitGroup`), and a rule is checked and applied in one turn of the event loop.
 */
export type Store = {
  tasks: TaskStore
  output: OutputStore
  registry: RegistryStore
  sessions: SessionStore
  /** What the store takes, in bytes; what was freed and is used again later does not count. */
  size(): number
}
