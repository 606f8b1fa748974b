import {routes, type Route} from '../../protocol/routes.ts'
import type {Verb} from './operations.ts'

/** What a token is for. */
export const scopes = ['admin', 'client', 'worker', 'metrics'] as const
export type Scope = (typeof scopes)[number]

/**
 * How it is told what is a worker's own:
 * - `all`: the answer contains only counts, or nothing of others
 * - `list`: the answer is cut to what is its own
 * - `worker`: by the worker in the path
 * - `itself`: by the worker in the query or in a header
 * - `registers`: by the worker in the body or the query. It may be new, so that an unbound token is bound to it
 * - `codebase`: by the codebase in the path. `global` belongs to all, so the answer is cut
 * - `whole-codebase`: the same, but the answer cannot be cut, so `global` is nobody's own
 * - `task`: by the task in the path: it holds the task, serves its codebase, or may take it
 * - `holder`: by the task in the path, for reports: it holds the task, or may claim it
 */
export type Own = 'all' | 'list' | 'worker' | 'itself' | 'registers' | 'codebase' | 'whole-codebase' | 'task' | 'holder'

/**
 * Who may call an operation, besides admins: with a client's token, with a worker's token for what is its own, and with a
 * token for metrics.
 */
export type Right = ({client: boolean; worker: Own} | {client: boolean; worker: 'nothing'; what: string}) & {
  metrics?: true
}

/** Anybody, without a token: health checks, descriptions, counts, and what clients ask before they show a token. */
export const everybody = 'everybody'

const reads = (worker: Own): Right => ({client: true, worker})
const acts = (worker: Own): Right => ({client: false, worker})
const people = (what: string): Right => ({client: true, worker: 'nothing', what})

const admins = (what: string): Right => ({client: false, worker: 'nothing', what})

const managing = people('create or cancel tasks')
const watching = people('read what all others do')

/** The rights of each operation. An operation without a row cannot be added to the control plane. */
export const rights: Record<Route, Partial<Record<Verb, Right | typeof everybody>>> = {
  root: {get: everybody},
  health: {get: everybody},
  livez: {get: everybody},
  readyz: {get: everybody},
  metrics: {get: {...admins('read metrics'), metrics: true}},
  agentCard: {get: everybody},
  status: {get: everybody},
  localProof: {get: everybody},
  openapi: {get: reads('all')},

  workers: {get: reads('list')},
  registerWorker: {post: acts('registers')},
  worker: {get: reads('worker'), delete: people('remove workers')},
  heartbeat: {post: acts('worker')},
  unregister: {post: acts('worker')},
  apiKeysSync: {get: acts('itself')},
  models: {get: reads('list')},

  codebases: {get: reads('list'), post: reads('registers')},
  codebaseList: {get: reads('list')},
  codebase: {get: reads('codebase'), delete: people('remove codebases')},
  codebaseStatus: {get: reads('codebase')},
  codebaseEvents: {get: reads('whole-codebase')},

  sessions: {get: reads('codebase')},
  sessionsSync: {post: acts('codebase')},
  session: {get: reads('codebase')},
  sessionResume: {post: managing},
  messages: {get: reads('codebase')},
  messagesSync: {post: acts('codebase')},

  codebaseTasks: {get: reads('codebase'), post: managing},
  trigger: {post: managing},
  tasks: {get: reads('list')},
  task: {get: reads('task')},
  taskStatus: {put: acts('holder')},
  taskCancel: {post: managing},
  taskRetry: {post: managing},
  taskOutput: {get: reads('task'), post: acts('holder')},
  taskOutputStream: {get: reads('task')},

  taskQuestions: {put: acts('holder')},
  taskInputs: {get: reads('holder'), post: managing},

  taskStream: {get: acts('registers')},
  claim: {post: acts('itself')},
  release: {post: acts('itself')},
  decline: {post: acts('itself')},
  connected: {get: acts('list')},
  connectedWorker: {get: acts('worker')},
  workerCodebases: {put: acts('itself')},

  monitorWorkers: {get: reads('list')},
  monitorStats: {get: reads('all')},
  monitorAgents: {get: reads('list')},
  monitorMessages: {get: watching},
  monitorMessageCount: {get: reads('all')},
  monitorSearch: {get: watching},
  monitorStream: {get: watching},
  monitorIntervene: {post: people('send messages to agents')},
  monitorExportJson: {get: watching},
  monitorExportCsv: {get: watching},

  audit: {get: admins('read the audit')},
  backup: {post: admins('back up the control plane')},

  pageLink: {post: reads('all')},

  databaseStatus: {get: reads('all')},
  databaseWorkers: {get: watching},
  databaseCodebases: {get: watching},
  databaseSessions: {get: watching},
}

const routeAt = new Map(Object.entries(routes).map(([route, path]) => [path as string, route as Route]))

/** The rights of an operation of the API, by the path of its route. Undefined: it has none. */
export function apiRightOf(verb: Verb, path: string): Right | typeof everybody | undefined {
  const route = routeAt.get(path)
  return route === undefined ? undefined : rights[route][verb]
}

/** Whether this token may call an operation, at least about what is its own. Whoever needs no token may. */
export function mayCall(scope: Scope | undefined, right: Right | typeof everybody): boolean {
  if (right === everybody || scope === undefined || scope === 'admin') return true
  if (scope === 'metrics') return right.metrics === true
  return scope === 'client' ? right.client : right.worker !== 'nothing'
}
