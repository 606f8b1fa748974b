import {expect, test} from 'vitest'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'
import {limits} from '../../src/lib/protocol/limits.ts'
import {pathTo, type Route} from '../../src/lib/protocol/routes.ts'
import {operations} from '../../src/lib/server/http/operations.ts'
import {Api} from '../server/support/api.ts'
import {startPlane} from '../server/support/plane.ts'

const KiB = 1024
const text = (bytes: number) => 'x'.repeat(bytes)

/** A control plane in which each list is longer than a page may be. */
async function fullPlane() {
  const plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/srv/app')
  const all = async (count: number, make: (i: number) => Promise<{status: number}>) => {
    for (let i = 0; i < count; i++) expect((await make(i)).status).toBe(200)
  }
  await all(12, (i) => api.post('codebaseTasks', {codebase}, {title: `${i}`, prompt: text(KiB * KiB)}))
  await all(40, (i) =>
    api.post('codebaseTasks', {codebase: 'global'}, {title: `m${i}`, prompt: 'p', metadata: {a: text(250 * KiB)}}),
  )
  const models = (i: number) => Array.from({length: 100}, (_, n) => ({id: `p/${i}-${n}`, name: text(20 * KiB)}))
  await all(5, (i) => api.register(`w${i}`, {models: models(i)}))
  await all(40, (i) =>
    api.post('codebases', {}, {worker_id: 'w', name: `c${i}`, path: `/srv/${i}`, agent_config: {a: text(250 * KiB)}}),
  )
  const session = (i: number) => ({
    id: `ses_${i}`,
    title: 't',
    directory: `/${text(4000)}`,
    summary: {a: text(60 * KiB)},
  })
  const sessions = Array.from({length: 200}, (_, i) => session(i))
  const synced = await api.post('sessionsSync', {codebase}, {worker_id: 'w', sessions})
  expect(synced.status).toBe(200)
  const message = (i: number) => ({id: `msg_${i}`, role: 'user', parts: [{type: 'text', text: text(900 * KiB)}]})
  await all(1, () =>
    api.post(
      'messagesSync',
      {codebase, session: 'ses_1'},
      {worker_id: 'w', messages: Array.from({length: 12}, (_, i) => message(i))},
    ),
  )
  return {plane, api, codebase, [Symbol.asyncDispose]: () => plane.close()}
}

/** How many entries each list has. */
const lists: [Route, number][] = [
  ['tasks', 52],
  ['codebaseTasks', 12],
  ['workers', 6],
  ['models', 500],
  ['codebases', 41],
  ['codebaseList', 41],
  ['sessions', 200],
  ['messages', 12],
  ['databaseWorkers', 6],
  ['databaseCodebases', 41],
  ['databaseSessions', 200],
]
/** Lists whose entries are so small, or so few, that they are bounded by other limits. Inputs have tests of their own. */
const short: Route[] = ['taskInputs', 'audit', 'connected', 'monitorWorkers', 'monitorAgents', 'monitorMessages']

test('every list that has pages is checked', () => {
  const paged = Object.entries(operations).flatMap(([route, {get}]) => (get?.query?.includes('cursor') ? [route] : []))
  expect(paged.toSorted()).toEqual([...lists.map(([route]) => route), ...short].toSorted())
})

test('no answer with a list is longer than a page, and the pages have everything, each entry once', async () => {
  await using at = await fullPlane()
  for (const [route, count] of lists) {
    const seen: string[] = []
    let pages = 0
    for (let cursor: string | undefined, isLast = false; !isLast; pages++) {
      const query = {limit: 1000, ...(cursor === undefined ? {} : {cursor})}
      const path = pathTo(route, {codebase: at.codebase, session: 'ses_1'}, query)
      const response = await fetch(at.plane.url + path)
      const body = await response.text()
      expect(response.status, `${path}: ${body.slice(0, 200)}`).toBe(200)
      expect(body.length, path).toBeLessThan(limits.page + 4 * KiB)
      const parsed = JSON.parse(body) as Record<string, unknown>
      const entries = (
        Array.isArray(parsed) ? parsed : Object.values(parsed).find((part) => Array.isArray(part))
      ) as Record<string, string>[]
      seen.push(...entries.map((entry) => entry['id'] ?? entry['worker_id'] ?? ''))
      cursor = response.headers.get('x-next-cursor') ?? undefined
      isLast = cursor === undefined
    }
    expect([route, seen.length, new Set(seen).size]).toEqual([route, count, count])
    expect(pages, route).toBeGreaterThan(1)
  }

  // without a limit as well: our client reads all pages
  await using client = new ControlPlaneClient({baseUrl: at.plane.url})
  expect((await client.workers()).length).toBe(6)
  expect((await client.codebases()).length).toBe(41)
  expect((await client.models()).models.length).toBe(500)
})

test('a worker that polls gets as many tasks as fit in an answer, and the rest later', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  await Promise.all(Array.from({length: 20}, (_, i) => api.codebase('w', `/srv/${i}`)))
  const codebases = (await api.get('codebases')).body as {id: string}[]
  for (const {id} of codebases) await api.create(id, {prompt: text(KiB * KiB)})
  const poll = async () =>
    (await api.get('tasks', {}, {query: {status: 'pending', worker_id: 'w'}})).body as {id: string}[]
  const taken = new Set<string>()
  while (taken.size < 20) {
    const tasks = await poll()
    expect(tasks.length).toBeGreaterThan(0)
    expect(tasks.length).toBeLessThanOrEqual(8)
    for (const {id} of tasks) {
      expect((await api.claim(id, 'w')).status).toBe(200)
      taken.add(id)
    }
  }
})

test('a worker has a limit on its codebases, and may still register known ones again', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const register = (path: string) => api.post('codebases', {}, {worker_id: 'w', name: 'c', path})
  const known = await Promise.all(Array.from({length: limits.codebases}, (_, i) => register(`/srv/${i}`)))
  expect(new Set(known.map(({status}) => status))).toEqual(new Set([200]))
  const refused = await register('/srv/more')
  expect([refused.status, refused.body.detail]).toEqual([409, 'Worker w has 1000 codebases, which is the limit'])
  expect((await register('/srv/7')).status).toBe(200)
})
