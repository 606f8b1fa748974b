import {pathTo, routes} from '../../src/lib/protocol/routes.ts'
import {startControlPlane, type ControlPlane} from '../../src/lib/server/control-plane.ts'
import {mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import type {Random} from '../random.ts'
import {samples, send} from '../plane-requests.ts'
import {check, type Target, type Verdict} from '../target.ts'

/** The number of cases for one control plane. */
const batch = 500
const methods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS']

/** Requests of clients and workers to the control plane. */
export const plane: Target = {
  name: 'plane',
  share: 150,
  batch,
  open: () => {
    const bugs: string[] = []
    const log = (line: string) => line.startsWith('bug') && bugs.push(line)
    let started: ControlPlane | undefined
    let ids: Ids = {codebase: '', task: ''}
    return {
      async run(random, at) {
        if (!started || at % batch === 0) {
          await started?.close()
          started = await startControlPlane({host: '127.0.0.1', port: 0, database: ':memory:', log})
          ids = await prepare(started)
        }
        const verdict = await sendMutated(started, ids, random)
        if (at % 100 === 99) ids = await prepare(started)
        check(bugs.length === 0, `no handler fails: ${bugs.splice(0).join('; ')}`)
        return verdict
      },
      close: () => started?.close(),
    }
  },
}

type Ids = {codebase: string; task: string}

/** Registers, creates a task and reads it again. This must always be possible. */
async function prepare(started: ControlPlane): Promise<Ids> {
  await call(started, 'POST', pathTo('registerWorker'), {worker_id: 'worker-1', name: 'here'})
  const known = await call(started, 'POST', pathTo('codebases'), {name: 'p', path: '/srv/p', worker_id: 'worker-1'})
  const codebase = (known as {codebase: {id: string}}).codebase.id
  const made = await call(started, 'POST', pathTo('codebaseTasks', {codebase}), {title: 't', prompt: 'p'})
  const task = (made as {task: {id: string}}).task.id
  const read = await call(started, 'GET', pathTo('task', {task}))
  check((read as {title: string}).title === 't', 'a created task can be read')
  return {codebase, task}
}

async function sendMutated(started: ControlPlane, ids: Ids, random: Random): Promise<Verdict> {
  const [usual, route, sample = null] = random.pick(samples)
  const real: Record<string, string> = {...ids, worker: 'worker-1', session: 'ses_1'}
  const path = routes[route].replaceAll(/:([a-z]+)/g, (_, name: string) =>
    random.chance(0.8) ? (real[name] ?? 'x') : mutatePathPart(real[name] ?? 'x', random),
  )
  const good = JSON.parse(JSON.stringify(sample).replaceAll('task-1', ids.task)) as unknown
  const text = Buffer.from(random.chance(0.6) ? mutateJson(good, random) : JSON.stringify(good))
  const body = random.chance(0.2) ? mutateBytes(text, random) : text
  const type = random.chance(0.9)
    ? 'application/json'
    : random.pick(['', 'text/plain', 'application/x-ndjson', '\u00ff'])
  const method = random.chance(0.9) ? usual : random.pick(methods)
  const {status, answer} = await send(started, {method, path: path + randomQuery(ids, random), type, body})
  check(
    status < 500 || (status === 503 && answer.includes('detail')),
    `no answer is an internal error: ${status} to ${method} ${path}: ${answer.slice(0, 500)}`,
  )
  return status < 400 ? 'accepted' : 'refused'
}

const mutatePathPart = (text: string, random: Random) =>
  random.chance(0.5)
    ? encodeURIComponent(mutateBytes(Buffer.from(text), random).toString().slice(0, 2000))
    : random.pick(['%', '%ff', '%00', '..', '%2e%2e', '__proto__', '*'])

function randomQuery(ids: Ids, random: Random): string {
  if (random.chance(0.3)) return ''
  if (random.chance(0.5)) return '?worker_id=worker-1&agent_name=here&attempt=1&offset=0&length=5&q=a'
  const names = [
    'worker_id',
    'status',
    'limit',
    'cursor',
    'since',
    'q',
    'attempt',
    'offset',
    'length',
    'codebase_id',
    'agent_name',
    '__proto__',
  ]
  const values = [
    'worker-1',
    ids.codebase,
    'running',
    '1',
    '0',
    '-1',
    '1e9',
    '9007199254740993',
    '',
    '%00',
    '%',
    '%ff',
    'a,b',
  ]
  return `?${Array.from({length: 1 + random.below(4)}, () => `${random.pick(names)}=${random.pick(values)}`).join('&')}`
}

async function call(started: ControlPlane, method: string, path: string, body?: unknown): Promise<unknown> {
  const sent = {
    method,
    path,
    type: 'application/json',
    body: body === undefined ? undefined : Buffer.from(JSON.stringify(body)),
  }
  const {status, answer} = await send(started, sent)
  check(status === 200, `a valid request is accepted: ${status} to ${method} ${path}: ${answer.slice(0, 500)}`)
  return JSON.parse(answer)
}
