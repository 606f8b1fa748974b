import type {AgentState} from '../../protocol/agent-state.ts'
import type {Codebase, Task, Worker} from '../../protocol/schemas.ts'
import type {OpenQuestion, StoredInput as WireInput} from '../../protocol/task-input.ts'

/** A task as it is stored: the fields of the wire, and what dispatch and output need. */
export type StoredTask = Omit<Task, 'waiting' | 'agent_state' | 'confirm_ms' | 'waiting_for'> & {
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
  /** 1 once retention has dropped the output. */
  output_dropped: number
}

/** The fields of a pending task that dispatch needs. */
export type PendingTask = Pick<StoredTask, 'n' | 'id' | 'codebase_id' | 'priority' | 'frame_size' | 'required'>

export type StoredWorker = Omit<
  Worker,
  'connected' | 'running' | 'status' | 'registered_at' | 'last_seen' | 'models'
> & {
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

/** A worker's token that belongs to a worker. */
export type Binding = {token: string; worker_id: string}

/** A request with an Idempotency-Key, and the task that it has created. `request`: a hash of its content. */
export type StoredRequest = {key: string; request: string; task_id: string; created_at: string}

/** What a person has said to a task. `key`: of task and id. */
export type StoredInput = WireInput & {key: string; task_id: string}

/** A question that is not open any more. `input`: the answer; null if it ended without one. */
export type SettledQuestion = {
  id: string
  input: string | null
  by: string | null
  at: string
  until: number | null
}

/** What a task asks, and what was said to it. There is none before the first of both, and none once the task has ended. */
export type Dialogue = {
  task_id: string
  /** Of the present attempt, as its holder has sent them. Answered ones stay until the holder removes them. */
  questions: OpenQuestion[]
  /** The last ones of the present attempt, oldest first. */
  settled: SettledQuestion[]
  /** Ids of inputs of which the holder has not told what became of them, oldest first. */
  undelivered: string[]
  /** How many inputs the task has got. */
  inputs: number
}

/** The lease of a task that is assigned or running. Times are on the lease clock, in ms. */
export type Lease = {
  readonly taskId: string
  readonly attempt: number
  readonly workerId: string
  readonly codebaseId: string
  /** Key of the working tree that the task occupies. None for tasks without a codebase. */
  readonly tree: string | undefined
  /** When it was claimed or confirmed. */
  readonly heldSince: number
  /** When it expires. An assignment that is not confirmed lapses then. */
  readonly until: number
  /** The worker has claimed the task, or confirmed its assignment. */
  readonly isConfirmed: boolean
  /** It has expired, and the task waits for the worker of its machine. */
  readonly isLost: boolean
  /**
   * Since when its holder may have missed reporting its end: the control plane was down, or the worker's stream was
   * replaced, after its last sign. Undefined: a report could not have been missed.
   */
  readonly doubtfulSince?: number | undefined
  /** When a requested cancellation counts without the holder's confirmation. */
  readonly cancelledAt?: number | undefined
  /** When the task fails because its holder is lost. */
  readonly failsAt?: number | undefined
  /** Why its agent waits, for people. */
  readonly waiting?: string | undefined
  /** What its agent does, since this time. */
  readonly agent?: {state: AgentState['state']; what: string; since: number} | undefined
}

/** A task that was pushed to a worker which must claim it. */
export type Offer = {
  readonly taskId: string
  readonly workerId: string
  readonly connectionId: string
  readonly tree: string | undefined
  readonly codebaseId: string
  /** When it goes to another worker. */
  readonly until: number
}

/** Until when a task is not given to a worker, and why. */
export type Backoff = {
  readonly taskId: string
  readonly workerId: string
  readonly until: number
  readonly pauseMs: number
  /** How many times the worker neither claimed nor confirmed it in time. */
  readonly missed: number
  /** How many times the worker declined it. */
  readonly declined: number
  /** Why the worker declined it. */
  readonly reason: string | undefined
  /** Its end was seen, and the task was given away again. */
  readonly isOver: boolean
}

/** When a worker was last given a task of a codebase, as the number of that turn. */
export type Turn = {readonly workerId: string; readonly codebaseId: string; readonly n: number}

/** What the answers to polls have promised about a task. */
export type Polled = {
  readonly taskId: string
  /** It was in an answer that did not say whose it is: until then nobody else is offered it. */
  readonly handedOutUntil: number
  /** Until then no worker is made to poll for it, although it cannot be pushed. */
  readonly askedUntil: number
}

/** What is known of a worker at present. Times are on the lease clock, in ms. */
export type Presence = {
  readonly workerId: string
  readonly lastContact: number
  /** The time of the last request that named the worker, on the wire's clock in ms. */
  readonly lastSeen: number
  /** The network address that it registered from. */
  readonly address: string | undefined
  /** When its last list of active tasks arrived. */
  readonly syncedAt: number | undefined
  /** How many tasks it can run now. May be less than it registered with, for `pauseReason`. */
  readonly capacity: number | undefined
  /** Why it takes no tasks now, for people. */
  readonly pauseReason: string | null
  /** Why it announces no models, for people. */
  readonly modelsNote: string | null
}

/** The open task stream of a worker. */
export type Connection = {
  readonly workerId: string
  /** Unique per connection, not per worker. */
  readonly connectionId: string
  readonly capabilities: readonly string[]
  /** Codebases that the stream has named. */
  readonly codebases: readonly string[]
  readonly agentName: string
  /** Identifies the process of the worker, on `hostname`. Null for the existing worker. */
  readonly instance: string | null
  readonly hostname: string | null
  /** As text. */
  readonly connectedAt: string
  /** The control plane that has it, of those that share their state. */
  readonly replica: string
  /** Since when its process is asked whether it still answers. Undefined: it is not asked. */
  readonly askedAt?: number | undefined
}

/** A browser that is logged in to the monitor page, with the rights of a token. Of both, only the hashes are kept. */
export type BrowserSession = {
  /** Of the secret in its cookie. */
  readonly hash: string
  /** Of the token that it has the rights of. */
  readonly token: string
  readonly created_at: string
  readonly ends_at: string
}

/** A link that logs a browser in once, with the rights of a token. `hash`: of its code. `until`: Unix ms. */
export type PageLink = {readonly hash: string; readonly token: string; readonly until: number}

/** All kinds of records. The first nine are on disk; a restart restores leases from tasks, and the rest begins empty. */
export type Records = {
  task: StoredTask
  worker: StoredWorker
  codebase: StoredCodebase
  binding: Binding
  request: StoredRequest
  usedToken: {token: string}
  browserSession: BrowserSession
  dialogue: Dialogue
  input: StoredInput
  lease: Lease
  offer: Offer
  backoff: Backoff
  turn: Turn
  polled: Polled
  presence: Presence
  connection: Connection
  pageLink: PageLink
}
export type Kind = keyof Records

/** The id of a record that belongs to two things. */
export const pair = (a: string, b: string) => `${a}\n${b}`

const byTask = ({taskId}: {taskId: string}) => taskId
const byWorker = ({workerId}: {workerId: string}) => workerId

/** The id of a record of each kind. */
export const idOf: {[K in Kind]: (record: Records[K]) => string} = {
  task: ({id}) => id,
  worker: ({worker_id}) => worker_id,
  codebase: ({id}) => id,
  binding: ({token}) => token,
  request: ({key}) => key,
  usedToken: ({token}) => token,
  browserSession: ({hash}) => hash,
  dialogue: ({task_id}) => task_id,
  input: ({key}) => key,
  lease: byTask,
  offer: byTask,
  backoff: ({taskId, workerId}) => pair(taskId, workerId),
  turn: ({workerId, codebaseId}) => pair(workerId, codebaseId),
  polled: byTask,
  presence: byWorker,
  connection: byWorker,
  pageLink: ({hash}) => hash,
}

type Index<K extends Kind> = {kind: K; keys: (record: Records[K]) => readonly string[]}
const index = <K extends Kind>(kind: K, keys: Index<K>['keys']): Index<K> => ({kind, keys})

/** The key of indexes that contain all records of a kind. */
export const all = ''

/** How records are found other than by their id. Tasks are not among them: their queues are `State.queue`. */
export const indexes = {
  leases: index('lease', () => [all]),
  leasesOf: index('lease', ({workerId}) => [workerId]),
  leasesOn: index('lease', ({tree}) => (tree === undefined ? [] : [tree])),
  leasesIn: index('lease', ({codebaseId}) => [codebaseId]),
  offers: index('offer', () => [all]),
  offersOf: index('offer', ({workerId}) => [workerId]),
  offersOn: index('offer', ({tree}) => (tree === undefined ? [] : [tree])),
  backoffs: index('backoff', () => [all]),
  backoffsOfTask: index('backoff', ({taskId}) => [taskId]),
  backoffsOfWorker: index('backoff', ({workerId}) => [workerId]),
  turnsOf: index('turn', ({workerId}) => [workerId]),
  polled: index('polled', () => [all]),
  workers: index('worker', ({unregistered_at}) => (unregistered_at === null ? [all] : [])),
  /** Registered ones, and those that have unregistered and were not forgotten. */
  knownWorkers: index('worker', ({forgotten_at}) => (forgotten_at === null ? [all] : [])),
  workersOnMachine: index('worker', ({machine_id}) => (machine_id === null ? [] : [machine_id])),
  workersNamed: index('worker', ({name, hostname}) => [pair(name, hostname ?? '')]),
  /** Workers that announce a global codebase, and owners of a codebase of that name. */
  globalWorkers: index('worker', ({global_codebase_id}) => (global_codebase_id ? [all] : [])),
  globalCodebases: index('codebase', ({name}) => (name === 'global' ? [all] : [])),
  codebases: index('codebase', () => [all]),
  codebasesOf: index('codebase', ({worker_id}) => [worker_id]),
  codebaseAt: index('codebase', ({worker_id, path}) => [pair(worker_id, path)]),
  bindingsOf: index('binding', ({worker_id}) => [worker_id]),
  browserSessions: index('browserSession', () => [all]),
  browserSessionsOf: index('browserSession', ({token}) => [token]),
  pageLinks: index('pageLink', () => [all]),
  connections: index('connection', () => [all]),
  connectionsNaming: index('connection', ({codebases}) => codebases),
}
export type IndexName = keyof typeof indexes
export type Found<I extends IndexName> = Records[(typeof indexes)[I]['kind']]
