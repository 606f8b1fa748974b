import * as v from 'valibot'
import {auditSchema} from '../../protocol/audit-schemas.ts'
import {modelSchema} from '../../protocol/model-schemas.ts'
import * as monitor from '../../protocol/monitor-schemas.ts'
import type {Route} from '../../protocol/routes.ts'
import * as wire from '../../protocol/schemas.ts'
import * as sessions from '../../protocol/session-schemas.ts'
import * as inputs from '../../protocol/task-input.ts'

type Schema = v.GenericSchema<unknown, unknown>

/** The documentation of one method of one route. */
export type Operation = {
  summary: string
  /** Query parameters, by name: see `parameters`. */
  query?: readonly Parameter[]
  headers?: readonly Header[]
  body?: Schema
  /** A media type for a raw body. The other fields are then in the query. */
  raw?: string
  /** The body may be omitted. */
  mayBeEmpty?: true
  answer?: Schema
  /** The media type of the response, if it is not JSON. */
  media?: string
}

export type Verb = 'get' | 'post' | 'put' | 'delete'

export const parameters = {
  limit: 'Maximum number of entries',
  cursor: 'Start of the page: the X-Next-Cursor of the previous page',
  offset: 'Number of entries to skip',
  status: 'Only tasks with this status',
  worker_id: 'The worker',
  state: 'Only inputs in this state: stored, delivered, refused or unknown',
  codebase_id: 'Only tasks of this codebase',
  id_prefix: 'Only tasks whose id begins with this',
  order: 'newest or oldest first; without it by priority, then oldest first. The answer repeats it in X-Order',
  agent_name: 'Name of the worker',
  since: 'Start: `next` of the previous page, or the id of an event',
  type: 'Only messages of this type',
  q: 'Text to search for',
  include_duplicates: 'Include duplicates of a directory that no worker serves any more',
  attempt: 'The attempt of the run; for output, with a raw body',
  length: 'For a raw body: its length in the source, in bytes',
  task_id: 'Only entries about this task',
  who: 'Only entries about the token with this name',
  from: 'Only entries from this time on, for example 2026-01-31T12:00:00Z',
  after: 'Only entries after the one with this number, oldest first',
  nonce: 'A challenge: 20 to 100 letters, digits, - or _',
} as const
/** Parameters without which a request is refused. */
export const requiredParameters: readonly string[] = ['q', 'nonce']
type Parameter = keyof typeof parameters

export const headers = {
  'Idempotency-Key': 'A repeated request with the same key creates no second task',
  'Last-Event-ID': 'Id of the last event that the reader received',
  'X-Worker-ID': 'Id of the worker, if the query does not name it',
  'X-Codebases': 'Ids of the codebases that the worker serves, separated by commas',
  'X-Capabilities': 'Capabilities of the worker, separated by commas',
  'X-Instance': 'Id of the process of the worker, as it is registered',
} as const
type Header = keyof typeof headers

const paged = {query: ['limit', 'cursor']} as const
const events = {media: 'text/event-stream', headers: ['Last-Event-ID']} as const
const once = {headers: ['Idempotency-Key']} as const
const success = v.object({success: v.boolean(), message: v.optional(v.string())})
const taskAnswer = v.object({...success.entries, task: wire.taskSchema})
const byWorker = {query: ['worker_id'], headers: ['X-Worker-ID']} as const
const synced = v.object({...success.entries, synced: v.number()})

/** The documentation of each route. A route without an entry is a compile error. */
export const operations: Record<Route, Partial<Record<Verb, Operation>>> = {
  health: {get: {summary: 'Health of the control plane', answer: wire.healthSchema}},
  root: {get: {summary: 'The monitor page for browsers (Accept: text/html), a line for others', media: 'text/html'}},
  livez: {get: {summary: 'Liveness: the process answers', answer: wire.healthSchema}},
  readyz: {get: {summary: 'Readiness: the database can be read', answer: wire.healthSchema}},
  metrics: {get: {summary: 'Metrics in the text format of Prometheus', media: 'text/plain'}},
  openapi: {get: {summary: 'This document'}},
  agentCard: {get: {summary: 'Agent card for A2A clients'}},
  localProof: {
    get: {
      summary: 'Proof, in a header, that this is the control plane of this machine',
      query: ['nonce'],
      answer: success,
    },
  },
  status: {get: {summary: 'Numbers of codebases and tasks'}},

  workers: {get: {summary: 'All registered workers', ...paged, answer: wire.workerListSchema}},
  registerWorker: {
    post: {
      summary: 'Register a worker; workers repeat it each minute',
      body: wire.registerWorkerSchema,
      answer: v.object({...success.entries, worker: wire.workerSchema, features: v.array(v.string())}),
    },
  },
  worker: {
    get: {summary: 'One worker', answer: wire.workerSchema},
    delete: {
      summary: 'Forget a dead worker: free its token and requeue its tasks; 409 if it is alive',
      answer: v.object({...success.entries, requeued: v.number()}),
    },
  },
  heartbeat: {
    post: {
      summary: 'Heartbeat, with the active tasks of the worker',
      body: wire.heartbeatSchema,
      mayBeEmpty: true,
      answer: success,
    },
  },
  unregister: {post: {summary: 'Unregister a worker', answer: success}},
  apiKeysSync: {
    get: {
      summary: 'API keys for the agent: none. The existing worker asks for them only when it has started',
      query: ['worker_id'],
    },
  },
  models: {
    get: {
      summary: 'The models of all workers',
      ...paged,
      answer: v.object({models: v.array(modelSchema), default: v.nullable(v.string())}),
    },
  },

  codebases: {
    get: {
      summary: 'All codebases',
      query: ['include_duplicates', 'limit', 'cursor'],
      answer: wire.codebaseListSchema,
    },
    post: {
      summary: 'Register a codebase; without worker_id, a worker that has the path registers it',
      ...once,
      body: wire.registerCodebaseSchema,
      answer: v.object({
        ...success.entries,
        codebase: v.optional(wire.codebaseSchema),
        pending: v.optional(v.boolean()),
        task_id: v.optional(v.string()),
      }),
    },
  },
  codebaseList: {
    get: {
      summary: 'The same as /v1/opencode/codebases',
      query: ['include_duplicates', 'limit', 'cursor'],
      answer: wire.codebaseListSchema,
    },
  },
  codebase: {
    get: {summary: 'One codebase', answer: wire.codebaseSchema},
    delete: {summary: 'Remove a codebase with its sessions; its waiting tasks are cancelled', answer: success},
  },
  codebaseStatus: {get: {summary: 'One codebase, with its numbers of tasks', answer: wire.codebaseSchema}},
  codebaseEvents: {get: {summary: 'Live events of a codebase', query: ['since'], ...events}},

  sessions: {get: {summary: "A codebase's sessions, newest first", ...paged, answer: sessions.sessionListSchema}},
  sessionsSync: {
    post: {
      summary: 'Store the sessions of a codebase: all, or the changes',
      body: sessions.syncSessionsSchema,
      answer: v.object({...synced.entries, sessions_count: v.number()}),
    },
  },
  session: {get: {summary: 'One session', answer: sessions.sessionSchema}},
  sessionResume: {
    post: {
      summary: 'Resume a session with a new task',
      ...once,
      body: sessions.resumeSchema,
      mayBeEmpty: true,
      answer: v.object({...taskAnswer.entries, task_id: v.string(), session_id: v.string()}),
    },
  },
  messages: {
    get: {
      summary: 'The newest messages of a session, oldest of them first',
      ...paged,
      answer: sessions.messageListSchema,
    },
  },
  messagesSync: {
    post: {
      summary: 'Store the messages of a session: all, or the changed ones',
      body: sessions.syncMessagesSchema,
      answer: v.object({...synced.entries, messages_count: v.number()}),
    },
  },

  codebaseTasks: {
    get: {summary: "A codebase's tasks", query: ['status', 'limit', 'cursor'], answer: v.array(wire.taskSchema)},
    post: {summary: 'Create a task', ...once, body: wire.createTaskSchema, answer: taskAnswer},
  },
  trigger: {
    post: {
      summary: 'Create a task from a prompt; session_id in the response is its id',
      ...once,
      body: wire.triggerSchema,
      answer: v.object({...success.entries, session_id: v.string()}),
    },
  },
  tasks: {
    get: {
      summary: 'Tasks; with status=pending and no limit, those that a polling worker may take',
      query: ['status', 'worker_id', 'codebase_id', 'id_prefix', 'order', 'limit', 'cursor'],
      answer: v.array(wire.taskSchema),
    },
  },
  task: {get: {summary: 'One task', answer: wire.taskSchema}},
  taskStatus: {
    put: {summary: 'Report the status of a task (workers)', body: wire.statusUpdateSchema, answer: taskAnswer},
  },
  taskCancel: {post: {summary: 'Cancel a task; the worker of a running task is asked to stop it', answer: taskAnswer}},
  taskRetry: {
    post: {
      summary: 'Restart an ended task as its next attempt',
      body: wire.retrySchema,
      mayBeEmpty: true,
      answer: taskAnswer,
    },
  },
  taskOutput: {
    get: {summary: "A page of a task's output", query: ['since'], answer: wire.outputPageSchema},
    post: {
      summary: 'Append output; a raw body is application/x-ndjson, with the other fields in the query',
      query: ['worker_id', 'attempt', 'offset', 'length'],
      body: wire.outputSchema,
      raw: 'application/x-ndjson',
      answer: v.object({...success.entries, next: v.number()}),
    },
  },
  taskOutputStream: {get: {summary: 'Live output of a task, until it has ended', query: ['since'], ...events}},

  taskQuestions: {
    put: {
      summary: 'All open questions of a run, and what became of inputs (workers)',
      body: inputs.questionsSchema,
      answer: success,
    },
  },
  taskInputs: {
    get: {
      summary: 'What was said to a task, and what became of it; a worker gets what it has not reported yet',
      query: ['worker_id', 'attempt', 'state', 'limit', 'cursor'],
      answer: inputs.inputListSchema,
    },
    post: {
      summary:
        'Answer a question of a task, or say something to it. A message to an ended task creates the next task of its session (201)',
      body: inputs.newInputSchema,
      answer: v.object({...success.entries, input: inputs.storedInputSchema, task: v.optional(wire.taskSchema)}),
    },
  },

  taskStream: {
    get: {
      summary: 'Task stream of a worker',
      media: 'text/event-stream',
      query: ['worker_id', 'agent_name'],
      headers: ['X-Worker-ID', 'X-Codebases', 'X-Capabilities', 'X-Instance'],
    },
  },
  claim: {
    post: {
      summary: 'Claim a task: it is running from now on, under a lease',
      ...byWorker,
      body: wire.claimSchema,
      answer: v.object({...success.entries, ...wire.claimAnswerSchema.entries}),
    },
  },
  release: {
    post: {
      summary: 'Release a task: back to the queue, or to a final status',
      ...byWorker,
      body: wire.releaseSchema,
      answer: success,
    },
  },
  decline: {post: {summary: 'Decline an offer', ...byWorker, body: wire.declineSchema, answer: success}},
  connected: {
    get: {
      summary: 'The open task streams',
      ...paged,
      answer: v.object({workers: v.array(wire.connectedWorkerSchema), count: v.number()}),
    },
  },
  connectedWorker: {get: {summary: 'The open task stream of one worker', answer: wire.connectedWorkerSchema}},
  workerCodebases: {
    put: {
      summary: 'Set the codebases of an open stream',
      ...byWorker,
      body: wire.workerCodebasesSchema,
      answer: success,
    },
  },

  monitorWorkers: {
    get: {summary: 'All workers, unregistered ones included', ...paged, answer: wire.monitorWorkersSchema},
  },
  monitorStats: {get: {summary: 'Counts since the control plane started', answer: monitor.monitorStatsSchema}},
  monitorAgents: {
    get: {summary: 'The workers, as agents', ...paged, answer: v.array(monitor.monitorAgentSchema)},
  },
  monitorMessages: {
    get: {
      summary: 'The newest messages of the log, oldest of them first',
      query: ['type', 'limit', 'cursor'],
      answer: v.array(monitor.monitorMessageSchema),
    },
  },
  monitorMessageCount: {
    get: {
      summary: 'Number of messages in the log',
      query: ['type'],
      answer: v.object({total: v.number(), type_filter: v.nullable(v.string())}),
    },
  },
  monitorSearch: {
    get: {
      summary: 'The newest messages that contain a text',
      query: ['q', 'type', 'limit'],
      answer: v.object({query: v.string(), results: v.array(monitor.monitorMessageSchema), count: v.number()}),
    },
  },
  monitorStream: {get: {summary: 'Live messages of the log', query: ['since'], ...events}},
  monitorIntervene: {
    post: {
      summary: 'Send a message to a running agent; not supported, and the response says so',
      body: monitor.interveneSchema,
      answer: success,
    },
  },
  monitorExportJson: {get: {summary: 'The complete log', answer: v.array(monitor.monitorMessageSchema)}},
  monitorExportCsv: {get: {summary: 'The complete log as CSV', media: 'text/csv'}},

  audit: {
    get: {
      summary:
        'Who did what: the audit, newest first. A page may be empty; X-Next-Cursor says whether there is another',
      query: ['task_id', 'worker_id', 'who', 'from', 'after', 'limit', 'cursor'],
      answer: auditSchema,
    },
  },

  backup: {
    post: {
      summary: 'Copies the database, next to it. A control plane with its state in Redis answers 409',
      answer: monitor.backupSchema,
    },
  },

  pageLink: {
    post: {
      summary: 'A link that logs a browser in to the monitor page: it works once, for a minute',
      answer: monitor.pageLinkSchema,
    },
  },

  databaseStatus: {get: {summary: 'Size of the database'}},
  databaseWorkers: {get: {summary: 'Workers in the database', ...paged}},
  databaseCodebases: {get: {summary: 'Codebases in the database', ...paged}},
  databaseSessions: {get: {summary: 'Sessions in the database', query: ['limit', 'offset', 'cursor']}},
}
