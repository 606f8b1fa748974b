import * as v from 'valibot'
import {modelSchema} from '../../protocol/model-schemas.ts'
import * as monitor from '../../protocol/monitor-schemas.ts'
import type {Route} from '../../protocol/routes.ts'
import * as wire from '../../protocol/schemas.ts'
import * as sessions from '../../protocol/session-schemas.ts'

type Schema = v.GenericSchema<unknown, unknown>

/** One verb of one route, as its documentation has it. */
export type Operation = {
  summary: string
  /** Query parameters, by name: see `parameters`. */
  query?: readonly Parameter[]
  headers?: readonly Header[]
  body?: Schema
  /** The media type in which the body may come as it is, with the rest in the query. */
  raw?: string
  /** The body may be left out. */
  mayBeEmpty?: true
  answer?: Schema
  /** The answer's media type, where it is not JSON. */
  media?: string
}

export type Verb = 'get' | 'post' | 'put' | 'delete'

export const parameters = {
  limit: 'How many at most',
  cursor: 'Where to go on: the X-Next-Cursor of the page before',
  offset: 'How many to leave out',
  status: 'Only those in this state',
  worker_id: 'The worker',
  codebase_id: 'Only those of this codebase',
  agent_name: 'How the worker calls itself',
  since: 'From here on: `next` of the page before, or the id of an event',
  type: 'Only messages of this type',
  q: 'What to look for',
  include_duplicates: 'Also those of one directory that no worker serves any more',
  attempt: 'Of a raw body: the attempt whose output this is',
  length: 'Of a raw body: its length in the source',
} as const
/** A request without one of these is refused. */
export const requiredParameters: readonly string[] = ['q']
type Parameter = keyof typeof parameters

export const headers = {
  'Idempotency-Key': 'The same request with the same key creates one task',
  'Last-Event-ID': 'The last event that the reader has seen',
  'X-Worker-ID': 'The worker, where the query does not name it',
  'X-Codebases': 'Ids of the codebases that the worker serves, separated by commas',
  'X-Capabilities': 'What the worker can do, separated by commas',
} as const
type Header = keyof typeof headers

const paged = {query: ['limit', 'cursor']} as const
const events = {media: 'text/event-stream', headers: ['Last-Event-ID']} as const
const once = {headers: ['Idempotency-Key']} as const
const success = v.object({success: v.boolean(), message: v.optional(v.string())})
const taskAnswer = v.object({...success.entries, task: wire.taskSchema})
const byWorker = {query: ['worker_id'], headers: ['X-Worker-ID']} as const
const synced = v.object({...success.entries, synced: v.number()})

/** What each route does, for its documentation. A route that is missing here does not compile. */
export const operations: Record<Route, Partial<Record<Verb, Operation>>> = {
  health: {get: {summary: 'Is the control plane there', answer: wire.healthSchema}},
  livez: {get: {summary: 'Does the process answer', answer: wire.healthSchema}},
  readyz: {get: {summary: 'Can it work: the database can be read', answer: wire.healthSchema}},
  openapi: {get: {summary: 'This document'}},
  agentCard: {get: {summary: 'What A2A clients look for'}},
  status: {get: {summary: 'What the control plane has to do'}},

  workers: {get: {summary: 'All workers that are registered', ...paged, answer: wire.workerListSchema}},
  registerWorker: {
    post: {
      summary: 'A worker makes itself known, again each minute',
      body: wire.registerWorkerSchema,
      answer: v.object({...success.entries, worker: wire.workerSchema, features: v.array(v.string())}),
    },
  },
  worker: {get: {summary: 'One worker', answer: wire.workerSchema}},
  heartbeat: {
    post: {
      summary: 'A sign of life, with what the worker runs',
      body: wire.heartbeatSchema,
      mayBeEmpty: true,
      answer: success,
    },
  },
  unregister: {post: {summary: 'A worker says goodbye', answer: success}},
  models: {
    get: {
      summary: 'The models of all workers',
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
      summary: 'Register a codebase; without worker_id, ask the workers which of them has the path',
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
    delete: {summary: 'Remove a codebase with its sessions; what waits for it is cancelled', answer: success},
  },
  codebaseStatus: {get: {summary: 'One codebase, with the counts of its tasks', answer: wire.codebaseSchema}},
  codebaseEvents: {get: {summary: 'What happens in a codebase, as it happens', query: ['since'], ...events}},

  sessions: {get: {summary: "A codebase's sessions, newest first", ...paged, answer: sessions.sessionListSchema}},
  sessionsSync: {
    post: {
      summary: 'Take the sessions of a codebase: all, or what changed',
      body: sessions.syncSessionsSchema,
      answer: v.object({...synced.entries, sessions_count: v.number()}),
    },
  },
  session: {get: {summary: 'One session', answer: sessions.sessionSchema}},
  sessionResume: {
    post: {
      summary: 'Go on with a session: a task that names it',
      ...once,
      body: sessions.resumeSchema,
      mayBeEmpty: true,
      answer: v.object({...taskAnswer.entries, task_id: v.string(), session_id: v.string()}),
    },
  },
  messages: {
    get: {summary: 'The newest messages of a session, in order', ...paged, answer: sessions.messageListSchema},
  },
  messagesSync: {
    post: {
      summary: 'Take the messages of a session: all, or those that changed',
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
      summary: 'Create a task from a prompt; the answer calls its id session_id',
      ...once,
      body: wire.triggerSchema,
      answer: v.object({...success.entries, session_id: v.string()}),
    },
  },
  tasks: {
    get: {
      summary: 'Tasks; with status=pending and no limit, what a worker that polls may take',
      query: ['status', 'worker_id', 'codebase_id', 'limit', 'cursor'],
      answer: v.array(wire.taskSchema),
    },
  },
  task: {get: {summary: 'One task', answer: wire.taskSchema}},
  taskStatus: {
    put: {summary: 'A worker reports on a task', body: wire.statusUpdateSchema, answer: taskAnswer},
  },
  taskCancel: {post: {summary: 'Cancel a task; one that runs is asked to end', answer: taskAnswer}},
  taskRetry: {
    post: {
      summary: 'Run a task again that has ended, as its next attempt',
      body: wire.retrySchema,
      mayBeEmpty: true,
      answer: taskAnswer,
    },
  },
  taskOutput: {
    get: {summary: "A page of a task's output", query: ['since'], answer: wire.outputPageSchema},
    post: {
      summary: 'Add output; application/x-ndjson takes it raw, with the rest in the query',
      query: ['worker_id', 'attempt', 'offset', 'length'],
      body: wire.outputSchema,
      raw: 'application/x-ndjson',
      answer: v.object({...success.entries, next: v.number()}),
    },
  },
  taskOutputStream: {get: {summary: "A task's output as it comes, until it is done", query: ['since'], ...events}},

  taskStream: {
    get: {
      summary: 'Tasks for a worker, as they come',
      media: 'text/event-stream',
      query: ['worker_id', 'agent_name'],
      headers: ['X-Worker-ID', 'X-Codebases', 'X-Capabilities'],
    },
  },
  claim: {
    post: {
      summary: 'Take a task: it runs from now on, under a lease',
      ...byWorker,
      body: wire.claimSchema,
      answer: v.object({...success.entries, ...wire.claimAnswerSchema.entries}),
    },
  },
  release: {post: {summary: 'Give a task back, or end it', ...byWorker, body: wire.releaseSchema, answer: success}},
  decline: {post: {summary: 'Not take an offer', ...byWorker, body: wire.declineSchema, answer: success}},
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
      summary: 'Say which codebases an open stream is for',
      ...byWorker,
      body: wire.workerCodebasesSchema,
      answer: success,
    },
  },

  monitorWorkers: {
    get: {summary: 'All workers, those that are gone too', ...paged, answer: wire.monitorWorkersSchema},
  },
  monitorStats: {get: {summary: 'Counts since the control plane started', answer: monitor.monitorStatsSchema}},
  monitorAgents: {
    get: {summary: 'The workers, as agents', ...paged, answer: v.array(monitor.monitorAgentSchema)},
  },
  monitorMessages: {
    get: {
      summary: 'The newest messages of the log, in order',
      query: ['type', 'limit', 'cursor'],
      answer: v.array(monitor.monitorMessageSchema),
    },
  },
  monitorMessageCount: {
    get: {
      summary: 'How many messages the log has',
      query: ['type'],
      answer: v.object({total: v.number(), type_filter: v.nullable(v.string())}),
    },
  },
  monitorSearch: {
    get: {
      summary: 'The newest messages with this text',
      query: ['q', 'type', 'limit'],
      answer: v.object({query: v.string(), results: v.array(monitor.monitorMessageSchema), count: v.number()}),
    },
  },
  monitorStream: {get: {summary: 'The log as it grows', query: ['since'], ...events}},
  monitorIntervene: {
    post: {
      summary: 'A word to a running agent; it reaches none, and the answer says so',
      body: monitor.interveneSchema,
      answer: success,
    },
  },
  monitorExportJson: {get: {summary: 'The whole log', answer: v.array(monitor.monitorMessageSchema)}},
  monitorExportCsv: {get: {summary: 'The whole log, for a spreadsheet', media: 'text/csv'}},

  databaseStatus: {get: {summary: 'How much is in the database'}},
  databaseWorkers: {get: {summary: 'Workers in the database', ...paged}},
  databaseCodebases: {get: {summary: 'Codebases in the database', ...paged}},
  databaseSessions: {get: {summary: 'Sessions in the database', query: ['limit', 'offset', 'cursor']}},
}
