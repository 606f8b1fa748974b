import {pathTo, routes, type Route} from '../../src/lib/protocol/routes.ts'
import {startControlPlane, type ControlPlane} from '../../src/lib/server/control-plane.ts'
import {operations as described, type Verb} from '../../src/lib/server/http/operations.ts'
import {rights} from '../../src/lib/server/http/rights.ts'
import {mutateJson} from '../mutate-json.ts'
import {samples, send} from '../plane-requests.ts'
import type {Random} from '../random.ts'
import {check, type Target, type Verdict} from '../target.ts'

/** Everything of the other worker contains this, and no request but those that prepare it. */
const secret = 'of-the-other'
const tokens = {
  admin: 'fuzz-token-admin',
  client: 'fuzz-token-client',
  mine: 'fuzz-token-mine',
  theirs: 'fuzz-token-theirs',
  spare: 'fuzz-token-spare',
}
type Who = keyof typeof tokens | 'nobody' | 'wrong'

/** All operations: of each row of rights. */
const all = (Object.keys(rights) as Route[]).flatMap((route) =>
  (Object.keys(rights[route]) as Verb[]).map((verb) => ({verb, route})),
)
/** An admin may give things of one worker to another, which then rightly reads them. */
const gives: ReadonlySet<string> = new Set([
  ...[
    'post registerWorker',
    'post unregister',
    'delete worker',
    'post codebases',
    'delete codebase',
    'get apiKeysSync',
  ],
  ...['post release', 'put taskStatus', 'post claim', 'get taskStream', 'post heartbeat'],
])

type Things = {worker: string; codebase: string; task: string; session: string}
type World = {plane: ControlPlane; own: Things; foreign: Things}

/** The number of cases for one control plane. */
const batch = 400

/** Random operations of all scopes, about own, foreign, unknown and odd things. */
export const operations: Target = {
  name: 'operations',
  share: 150,
  batch,
  open: () => {
    const bugs: string[] = []
    let world: World | undefined
    return {
      async run(random, at) {
        if (!world || at % batch === 0) {
          await world?.plane.close()
          world = await prepare((line) => line.startsWith('bug') && bugs.push(line))
        }
        const verdict = await tryOperation(world, random)
        check(bugs.length === 0, `no handler fails: ${bugs.splice(0).join('; ')}`)
        return verdict
      },
      close: () => world?.plane.close(),
    }
  },
}

async function prepare(log: (line: string) => unknown): Promise<World> {
  const plane = await startControlPlane({
    ...{host: '127.0.0.1', port: 0, database: ':memory:', log, maxRequests: 0},
    tokens: [
      {name: 'admin', scope: 'admin', token: tokens.admin},
      {name: 'client', scope: 'client', token: tokens.client},
      ...(['mine', 'theirs', 'spare'] as const).map((name) => ({name, scope: 'worker' as const, token: tokens[name]})),
    ],
  })
  return {
    plane,
    own: await addWorker(plane, 'mine', {worker: 'A', mark: 'own'}),
    foreign: await addWorker(plane, 'theirs', {worker: 'B', mark: secret}),
  }
}

/** A worker with a codebase, a session with a message, and a running task with output. */
async function addWorker(
  plane: ControlPlane,
  who: Who,
  {worker, mark}: {worker: string; mark: string},
): Promise<Things> {
  const call = (as: Who, method: string, path: string, body: object) => callAs(plane, as, {method, path, body})
  await call(who, 'POST', pathTo('registerWorker'), {
    worker_id: worker,
    name: mark,
    features: ['lease'],
    models: [{id: mark}],
  })
  const answer = await call(who, 'POST', pathTo('codebases'), {name: mark, path: `/${mark}`, worker_id: worker})
  const {id: codebase} = answer['codebase'] as {id: string}
  const create = () => call('admin', 'POST', pathTo('codebaseTasks', {codebase}), {title: mark, prompt: mark})
  const {id: task} = (await create())['task'] as {id: string}
  await call(who, 'POST', pathTo('claim', {}, {worker_id: worker}), {task_id: task})
  await call(who, 'POST', pathTo('taskOutput', {task}), {worker_id: worker, output: mark})
  await call(who, 'POST', pathTo('sessionsSync', {codebase}), {
    worker_id: worker,
    sessions: [{id: 'ses_1', title: mark}],
  })
  const messages = [{id: 'msg_1', role: 'user', parts: [{type: 'text', text: mark}]}]
  await call(who, 'POST', pathTo('messagesSync', {codebase, session: 'ses_1'}), {worker_id: worker, messages})
  await create()
  return {worker, codebase, task, session: 'ses_1'}
}

async function tryOperation(world: World, random: Random): Promise<Verdict> {
  const who = random.pick<Who>(['admin', 'client', 'mine', 'mine', 'mine', 'spare', 'spare', 'nobody', 'wrong'])
  const choices =
    who === 'admin' || who === 'client' ? all.filter(({verb, route}) => !gives.has(`${verb} ${route}`)) : all
  const {verb, route} = random.pick(choices)
  const path = randomPath(route, verb, world, random)
  const sent = bodyOf(verb, route, world, random)
  const {status, answer} = await send(world.plane, {
    method: verb.toUpperCase(),
    path,
    type: 'application/json',
    headers: {...authorization(who), ...randomHeaders(world, random)},
    ...(sent === undefined ? {} : {body: Buffer.from(sent)}),
  })
  const what = `${status} to ${who}: ${verb} ${path} ${sent ?? ''}: ${answer.slice(0, 500)}`
  check(status < 500 || (status === 503 && answer.includes('detail')), `no answer is an internal error: ${what}`)
  for (const token of Object.values(tokens)) check(!answer.includes(token), `no answer contains a token: ${what}`)
  if (who !== 'admin' && who !== 'client')
    check(!answer.includes(secret), `nothing of another worker is shown: ${what}`)
  // a path with dots may lead to another operation
  const isOpen = rights[route][verb] === 'everybody' || /\.\.|%2e/.test(path)
  if (!isOpen && (who === 'nobody' || who === 'wrong'))
    check([401, 403, 429].includes(status), `a token is needed: ${what}`)
  return status < 400 ? 'accepted' : 'refused'
}

const authorization = (who: Who): Record<string, string> => {
  if (who === 'nobody') return {}
  return {authorization: `Bearer ${who === 'wrong' ? 'fuzz-guess' : tokens[who]}`}
}

const odd = [
  '__proto__',
  '%00',
  '..',
  '%2e%2e',
  '*',
  '%ff',
  "'",
  'global',
  '__pending__',
  'x'.repeat(300),
  '%F0%9F%92%A9',
  '-1',
]

/** Own, foreign, unknown or odd. */
const thing = (world: World, kind: keyof Things, random: Random): string => {
  if (random.chance(0.4)) return world.foreign[kind]
  if (random.chance(0.7)) return world.own[kind]
  return random.chance(0.5) ? 'unknown' : random.pick(odd)
}

function randomPath(route: Route, verb: Verb, world: World, random: Random): string {
  const path = routes[route].replaceAll(/:([a-z]+)/g, (_, name: string) => thing(world, name as keyof Things, random))
  const names = [...(described[route][verb]?.query ?? []), 'worker_id', 'codebase_id', 'worker_id']
  const count = random.below(4)
  const query = Array.from({length: count}, () => `${random.pick(names)}=${randomValue(world, random)}`)
  return query.length > 0 ? `${path}?${query.join('&')}` : path
}

const randomValue = (world: World, random: Random): string =>
  random.chance(0.6)
    ? thing(world, random.pick(['worker', 'worker', 'codebase', 'task', 'session']), random)
    : random.pick([
        'pending',
        'running',
        '0',
        '1',
        '1000',
        '-1',
        '1e9',
        'newest',
        'W10',
        secret.slice(0, 3),
        '',
        '%',
        'true',
      ])

function randomHeaders(world: World, random: Random): Record<string, string> {
  const named = [
    'x-worker-id',
    'worker_id',
    'x-codebases',
    'x-capabilities',
    'x-instance',
    'last-event-id',
    'idempotency-key',
  ]
  const count = random.below(3)
  return Object.fromEntries(
    Array.from({length: count}, () => {
      const name = random.pick(named)
      const value = thing(world, name === 'x-codebases' ? 'codebase' : random.pick(['worker', 'task'] as const), random)
      return [name, name === 'last-event-id' ? `${value}:0` : value]
    }),
  )
}

/** A good body about own or foreign things, often mutated. */
function bodyOf(verb: Verb, route: Route, world: World, random: Random): string | undefined {
  const fitting = samples.filter(([method, at]) => at === route && method === verb.toUpperCase())
  if (verb === 'get' || fitting.length === 0) return undefined
  const [, , sample = {}] = random.pick(fitting)
  const text = JSON.stringify(sample)
    .replaceAll('worker-1', thing(world, 'worker', random))
    .replaceAll('task-1', thing(world, 'task', random))
    .replaceAll('codebase-1', thing(world, 'codebase', random))
  return random.chance(0.4) ? mutateJson(JSON.parse(text), random) : text
}

async function callAs(
  plane: ControlPlane,
  who: Who,
  {method, path, body}: {method: string; path: string; body: object},
): Promise<Record<string, unknown>> {
  const text = Buffer.from(JSON.stringify(body))
  const sent = {method, path, type: 'application/json', body: text, headers: authorization(who)}
  const {status, answer} = await send(plane, sent)
  check(status === 200, `a valid request is accepted: ${status} to ${method} ${path}: ${answer.slice(0, 500)}`)
  return JSON.parse(answer) as Record<string, unknown>
}
