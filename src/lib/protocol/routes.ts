/**
 * All paths of the CodeTether worker API, for client and server. Segments that begin with a colon are parameters.
 */
export const routes = {
  root: '/',
  health: '/health',
  livez: '/livez',
  readyz: '/readyz',
  metrics: '/metrics',
  openapi: '/openapi.json',
  localProof: '/v1/local/proof',
  status: '/v1/opencode/status',
  workers: '/v1/opencode/workers',
  registerWorker: '/v1/opencode/workers/register',
  worker: '/v1/opencode/workers/:worker',
  heartbeat: '/v1/opencode/workers/:worker/heartbeat',
  unregister: '/v1/opencode/workers/:worker/unregister',
  models: '/v1/opencode/models',
  apiKeysSync: '/v1/opencode/api-keys/sync',
  codebases: '/v1/opencode/codebases',
  codebaseList: '/v1/opencode/codebases/list',
  codebase: '/v1/opencode/codebases/:codebase',
  codebaseStatus: '/v1/opencode/codebases/:codebase/status',
  codebaseEvents: '/v1/opencode/codebases/:codebase/events',
  codebaseTasks: '/v1/opencode/codebases/:codebase/tasks',
  sessions: '/v1/opencode/codebases/:codebase/sessions',
  sessionsSync: '/v1/opencode/codebases/:codebase/sessions/sync',
  session: '/v1/opencode/codebases/:codebase/sessions/:session',
  sessionResume: '/v1/opencode/codebases/:codebase/sessions/:session/resume',
  messages: '/v1/opencode/codebases/:codebase/sessions/:session/messages',
  messagesSync: '/v1/opencode/codebases/:codebase/sessions/:session/messages/sync',
  trigger: '/v1/opencode/codebases/:codebase/trigger',
  tasks: '/v1/opencode/tasks',
  task: '/v1/opencode/tasks/:task',
  taskStatus: '/v1/opencode/tasks/:task/status',
  taskCancel: '/v1/opencode/tasks/:task/cancel',
  taskRetry: '/v1/opencode/tasks/:task/retry',
  taskOutput: '/v1/opencode/tasks/:task/output',
  taskOutputStream: '/v1/opencode/tasks/:task/output/stream',
  taskQuestions: '/v1/opencode/tasks/:task/questions',
  taskInputs: '/v1/opencode/tasks/:task/inputs',
  taskStream: '/v1/worker/tasks/stream',
  claim: '/v1/worker/tasks/claim',
  release: '/v1/worker/tasks/release',
  decline: '/v1/worker/tasks/decline',
  connected: '/v1/worker/connected',
  connectedWorker: '/v1/worker/connected/:worker',
  workerCodebases: '/v1/worker/codebases',
  monitorWorkers: '/v1/monitor/workers',
  monitorStats: '/v1/monitor/stats',
  monitorAgents: '/v1/monitor/agents',
  monitorMessages: '/v1/monitor/messages',
  monitorMessageCount: '/v1/monitor/messages/count',
  monitorSearch: '/v1/monitor/messages/search',
  monitorStream: '/v1/monitor/stream',
  monitorIntervene: '/v1/monitor/intervene',
  monitorExportJson: '/v1/monitor/export/json',
  monitorExportCsv: '/v1/monitor/export/csv',
  audit: '/v1/audit',
  backup: '/v1/backup',
  pageLink: '/v1/page/link',
  databaseStatus: '/v1/opencode/database/status',
  databaseWorkers: '/v1/opencode/database/workers',
  databaseCodebases: '/v1/opencode/database/codebases',
  databaseSessions: '/v1/opencode/database/sessions',
  agentCard: '/.well-known/agent-card.json',
} as const

export type Route = keyof typeof routes

type Query = Record<string, string | number | boolean | undefined>

/** The path of a route with its parameters, escaped, and an optional query string. */
export function pathTo(route: Route, params: Record<string, string> = {}, query: Query = {}): string {
  const path = routes[route].replace(/:([a-z]+)/g, (_, name: string) => {
    const value = params[name]
    if (!value) throw new Error(`route ${route} needs the parameter ${name}`)
    return encodeURIComponent(value)
  })
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value))
  return search.size > 0 ? `${path}?${search}` : path
}

/** Pseudo-codebases of the protocol. */
export const globalCodebase = 'global'
export const pendingCodebase = '__pending__'
