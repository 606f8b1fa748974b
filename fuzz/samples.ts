import * as lines from '../test/support/agent-lines.ts'

/** Valid answers, events, lines and files, which the fuzzer mutates. */

const time = '2026-01-02T03:04:05.678Z'
const usage = {
  input: 10,
  output: 2,
  reasoning: 1,
  cache_read: 3,
  cache_write: 4,
  cost: 0.5,
  model: 'a/b',
  duration_ms: 9,
}

export const task = {
  id: 'task-1',
  codebase_id: 'codebase-1',
  title: 'Fix the login',
  prompt: 'Please fix it.\nAll of it.',
  agent_type: 'build',
  model: 'provider/model',
  status: 'pending',
  priority: 3,
  worker_id: null,
  session_id: 'ses_1',
  result: null,
  error: null,
  metadata: {resume_session_id: 'ses_1', model: 'a/b', list: [1, 'two', {three: 3}]},
  created_at: time,
  started_at: null,
  completed_at: null,
  updated_at: time,
  attempt: 1,
  cancel_requested_at: null,
  lost_since: null,
  usage,
  waiting: 'its codebase is busy',
}

const worker = {
  worker_id: 'worker-1',
  name: 'here',
  capabilities: ['opencode'],
  hostname: 'host',
  models: [{provider_id: 'a', model_id: 'b'}],
  global_codebase_id: null,
  registered_at: time,
  last_seen: time,
  status: 'active',
  version: '1.0',
  max_concurrent_tasks: 2,
  features: ['lease'],
  connected: true,
  running: 1,
}

const codebase = {id: 'codebase-1', name: 'p', path: '/srv/p', description: '', status: 'idle', worker_id: 'worker-1'}
const session = {id: 'ses_1', title: 't', created: 1, updated: 2, time: {created: 1, updated: 2}, directory: '/srv/p'}
const chunk = {output: 'text\n', timestamp: time, worker_id: 'worker-1', attempt: 1, offset: 0}

/** Answers of the endpoints. */
export const answers = {
  task,
  wrapped: {task},
  tasks: [task, {...task, id: 'task-2', status: 'running'}],
  workers: [worker],
  codebases: [codebase],
  codebase: {codebase},
  registered: {features: ['lease', 'claim-task'], redis_url: 'redis://127.0.0.1:6379'},
  claimed: {attempt: 2, lease_seconds: 60, task},
  output: {task_id: 'task-1', outputs: [chunk, chunk], total: 2, next: 2, truncated: false},
  next: {next: 100},
  sessions: {sessions: [session]},
  triggered: {session_id: 'task-1'},
  connected: {workers: [{worker_id: 'worker-1', agent_name: 'here', is_busy: false, codebases: ['codebase-1']}]},
  isConnected: {worker_id: 'worker-1', agent_name: 'here'},
  monitored: {workers: [{id: 'worker-1', name: 'here', status: 'active', last_heartbeat: time, running: 0}]},
  health: {status: 'ok', version: '0.1.0'},
  models: {models: [{provider_id: 'a', model_id: 'b', name: 'B', workers: ['worker-1']}]},
  notFound: {detail: 'Not Found'},
  conflict: {detail: 'Output goes on at 3', next: 3},
  invalid: {detail: [{type: 'missing', loc: ['body', 'title'], msg: 'Field required', input: null}]},
} as const

/** Events of task and output streams: name and data. */
export const events: readonly (readonly [name: string, data: unknown])[] = [
  ['connected', {worker_id: 'worker-1', message: 'hello'}],
  ['task_available', task],
  ['task.created', {type: 'task.created', data: {task_id: 'task-2', description: 'do it', codebase_id: 'codebase-1'}}],
  ['task_cancelled', {task_id: 'task-1', attempt: 1, reason: 'by hand'}],
  ['output', chunk],
  ['done', {status: 'completed'}],
  ['heartbeat', {}],
]

/** Lines that OpenCode prints. */
export const agentLines: readonly string[] = [
  lines.stepStart(),
  lines.text('an answer with €, 😀 and \u001b[31mcolour\u001b[0m'),
  lines.text('more', 'msg_2', {synthetic: true}),
  lines.tool('bash', {status: 'completed', title: 'npm test', input: {command: 'npm test'}, output: 'ok'}),
  lines.tool('edit', {status: 'error', error: 'The user rejected permission to use this tool', title: ''}),
  lines.finish('tool-calls'),
  lines.finish(),
  lines.error('APIError', 'no such key'),
  '{"type":"error","error":{"type":"unknown","message":"m"}}',
  'prose of an old version',
]

export const config = {
  server_url: 'https://example.com/base',
  auth_token: 'secret-token',
  worker_name: 'here',
  worker_id: 'worker-1',
  codebases: ['name:/srv/p', '~/q', {name: 'r', path: 'r', description: 'the third'}],
  poll_interval: 5,
  max_concurrent_tasks: 2,
  capabilities: ['opencode', 'build'],
  permissions: {edit: 'allow', bash: {'git *': 'allow', '*': 'deny'}},
  env_allow: ['FOO_*'],
  redact: ['sk-[a-z0-9]+'],
  task_timeout: 3600,
  log_format: 'json',
  log_level: 'debug',
  on_interrupt: 'resume',
  redis_url: 'redis://user:secret@127.0.0.1:6379/0',
  global_codebase: 'none',
  registration_roots: ['/srv'],
  $schema: './schema.json',
  _comment: 'nothing',
}

export const announcement = {type: 'task_available', data: {id: 'task-1', codebase_id: 'codebase-1'}, timestamp: time}

export const requests: readonly unknown[] = [
  {op: 'status'},
  {op: 'events'},
  {op: 'drain'},
  {op: 'detach'},
  {op: 'pause'},
  {op: 'resume'},
  {op: 'cancel', task_id: 'task-1'},
  {op: 'create-task', codebase_id: 'cb1', prompt: 'Fix it'},
  {op: 'sync-sessions', all: true},
  {op: 'add-codebase', name: 'p', path: '/srv/p', description: ''},
]

/** The status that a worker answers on its socket. */
export const workerStatus = {
  name: 'here',
  worker_id: 'worker-1',
  pid: 1,
  version: '0.1.0',
  phase: 'running',
  link: 'stream',
  server: 'http://127.0.0.1:1',
  slots: 2,
  free: 1,
  codebases: [{id: 'codebase-1', name: 'p', path: '/srv/p'}],
  tasks: [
    {
      id: 'task-1',
      title: 't',
      attempt: 1,
      phase: 'running',
      codebase: '/srv/p',
      since: 1,
      session_id: null,
      lines: {dropped: 0, items: ['a line']},
    },
  ],
}

export const report = {status: 'completed', worker_id: 'worker-1', result: 'done', error: null, usage, attempt: 1}
