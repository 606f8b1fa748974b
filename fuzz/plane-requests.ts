import {once} from 'node:events'
import {Agent, request, type IncomingMessage} from 'node:http'
import type {ControlPlane} from '../src/lib/server/control-plane.ts'
import {routes, type Route} from '../src/lib/protocol/routes.ts'
import {report} from './samples.ts'

export type Sample = readonly [method: string, route: Route, body?: unknown]

const position = {worker_id: 'worker-1', output: 'text\n', attempt: 1, offset: 0, length: 5}
const sync = {worker_id: 'worker-1', partial: true}
/** A good request of each operation. */
export const samples: readonly Sample[] = [
  ...(Object.keys(routes) as Route[]).map((route) => ['GET', route] as const),
  ['POST', 'registerWorker', {worker_id: 'worker-1', name: 'here', features: ['lease'], models: [{id: 'm'}]}],
  ['POST', 'heartbeat', {running: [{id: 'task-1', attempt: 1}], free: 1}],
  ['POST', 'unregister'],
  ['POST', 'codebases', {name: 'p', path: '/srv/p', worker_id: 'worker-1', tree: '1:2', agent_config: {a: 1}}],
  ['POST', 'codebaseTasks', {title: 't', prompt: 'p', agent_type: 'build', priority: 1, metadata: {a: 1}, model: null}],
  ['POST', 'trigger', {prompt: 'p', agent: 'build', files: ['a'], metadata: {}}],
  ['POST', 'sessionsSync', {...sync, sessions: [{id: 'ses_1', title: 't', time: {created: 1, updated: 2}}]}],
  [
    'POST',
    'messagesSync',
    {...sync, messages: [{info: {id: 'msg_1', role: 'user'}, parts: [{type: 'text', text: 'a'}]}]},
  ],
  ['POST', 'sessionResume', {prompt: 'go on', agent: 'build'}],
  ['PUT', 'taskStatus', {...report, output: {output: 'x\n', offset: 0, length: 2}}],
  ['PUT', 'taskStatus', {...report, status: 'running', session_id: 'ses_1'}],
  ['POST', 'taskOutput', position],
  ['POST', 'taskCancel'],
  ['POST', 'taskRetry', {force: true}],
  ['POST', 'claim', {task_id: 'task-1'}],
  ['POST', 'release', {task_id: 'task-1', status: 'completed', attempt: 1}],
  ['POST', 'decline', {task_id: 'task-1', reason: 'busy'}],
  ['PUT', 'workerCodebases', {codebases: ['codebase-1']}],
  ['POST', 'monitorIntervene', {agent_id: 'worker-1', message: 'stop'}],
  ['DELETE', 'codebase'],
]

const agent = new Agent({keepAlive: true, maxSockets: 1})

type FuzzRequest = {
  method: string
  path: string
  type: string
  body?: Buffer | undefined
  headers?: Record<string, string>
}

/** A stream never ends. Its first events are read for this long. */
const streamMs = 3

/** Sends a request, and reads the answer. Of a stream, the first events. */
export async function send(
  started: ControlPlane,
  {method, path, type, body, headers = {}}: FuzzRequest,
): Promise<{status: number; answer: string}> {
  const sent = request({
    host: '127.0.0.1',
    port: started.port,
    agent,
    method,
    path,
    headers: {
      ...headers,
      ...(type === '' ? {} : {'content-type': type}),
      ...(body ? {'content-length': body.length} : {}), // with DELETE, Node does not say where a body ends
    },
  })
  sent.end(body)
  const answer = await Promise.race([once(sent, 'response'), once(sent, 'close').then(() => undefined)])
  const response = answer?.[0] as IncomingMessage | undefined
  if (!response) throw new Error(`no answer to ${method} ${path}`)
  const status = response.statusCode ?? 0
  if (response.headers['content-type']?.startsWith('text/event-stream')) {
    let events = ''
    response.setEncoding('utf8').on('data', (piece: string) => (events += piece))
    await new Promise((resolve) => setTimeout(resolve, streamMs))
    response.destroy()
    return {status, answer: events}
  }
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return {status, answer: text}
}
