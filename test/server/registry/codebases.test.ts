import {expect, test} from 'vitest'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {startPlane, until} from '../support/plane.ts'

test('a removed codebase loses its waiting tasks; a worker that still serves it registers it again', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/a')
  const kept = await api.codebase('w', '/b')
  const [offered, waiting, other] = [await api.create(codebase), await api.create(codebase), await api.create(kept)]
  await using stream = await openStream(api, 'w')
  await stream.pushed(offered.id)
  const remove = () => api.send('DELETE', `/v1/opencode/codebases/${codebase}`)
  expect(await remove()).toMatchObject({status: 200, body: {success: true}})
  for (const {id} of [offered, waiting])
    expect(await api.task(id)).toMatchObject({status: 'cancelled', error: 'the codebase a (/a) was removed'})
  expect((await api.task(other.id)).status).toBe('pending')
  expect((await api.get('codebase', {codebase})).status).toBe(404)
  expect((await api.get('codebaseTasks', {codebase})).status).toBe(404)
  expect((await api.get('codebases')).body).toMatchObject([{id: kept}])
  expect(await remove()).toMatchObject({status: 404, body: {detail: 'Codebase not found'}})
  expect(await api.codebase('w', '/a')).not.toBe(codebase)
})

test('a codebase with a running task cannot be removed, and neither can the pseudo-codebases', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/a')
  const [running, waiting] = [await api.create(codebase), await api.create(codebase)]
  await api.claim(running.id, 'w')
  const remove = (id: string) => api.send('DELETE', `/v1/opencode/codebases/${id}`)
  expect((await remove(codebase)).body.detail).toBe(
    `Task ${running.id} of codebase ${codebase} is running on worker w; cancel it first`,
  )
  expect((await api.task(waiting.id)).status).toBe('pending')
  expect((await remove('global')).status).toBe(409)
  expect((await remove('__pending__')).status).toBe(409)
  await api.report(running.id, 'w', 'completed')
  expect((await remove(codebase)).status).toBe(200)
  expect((await api.task(running.id)).status).toBe('completed')
})

test('a client may remove a codebase, but a worker may not', async () => {
  await using plane = await startPlane({tokens: parseTokens('me:admin,w/worker=w:worker,ci/client:client')})
  const [worker, client] = [new Api(plane.url, 'worker'), new Api(plane.url, 'client')]
  await worker.registerOwn('w')
  const codebase = await worker.codebase('w', '/a')
  const path = `/v1/opencode/codebases/${codebase}`
  expect((await worker.send('DELETE', path)).status).toBe(403)
  expect((await new Api(plane.url).send('DELETE', path)).status).toBe(401)
  expect((await client.send('DELETE', path)).status).toBe(200)
})

test('the status of a codebase is the codebase with the counts of its tasks', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/a')
  const running = await api.create(codebase)
  await api.create(codebase)
  await api.create('global')
  await api.claim(running.id, 'w')
  expect((await api.get('codebaseStatus', {codebase})).body).toMatchObject({
    id: codebase,
    status: 'running',
    tasks: {running: 1, pending: 1},
    recent_messages: [],
  })
  expect((await api.get('codebaseStatus', {codebase: 'x'})).body.detail).toBe('Codebase not found')
})

test('global is a codebase once there is a worker', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  expect((await api.get('codebase', {codebase: 'global'})).status).toBe(404)
  await api.registerOwn('w', {global_codebase_id: 'g'})
  const look = async () => (await api.get('codebase', {codebase: 'global'})).body
  expect(await look()).toMatchObject({id: 'global', name: 'global', worker_id: null, served: false, status: 'idle'})
  await using stream = await openStream(api, 'w')
  const task = await api.create('global')
  await stream.pushed(task.id)
  await api.claim(task.id, 'w')
  expect(await look()).toMatchObject({served: true, status: 'running'})
  expect((await api.get('codebaseStatus', {codebase: 'global'})).body.tasks).toEqual({running: 1})
  expect((await api.get('codebaseTasks', {codebase: 'global'})).body).toMatchObject([{id: task.id}])
  expect((await api.get('codebaseTasks', {codebase: '__pending__'})).body).toEqual([])
  expect((await api.get('codebases')).body).toEqual([])
})

test('codebases of the same directory are listed only if their worker is connected, unless duplicates are requested', async () => {
  let ahead = 0
  const clock = {...systemClock, now: () => Date.now() + ahead}
  await using plane = await startPlane({clock})
  const api = new Api(plane.url)
  await api.registerOwn('old')
  const unserved = await api.codebase('old', '/a')
  await api.registerOwn('elsewhere', {hostname: 'other'})
  const elsewhere = await api.codebase('elsewhere', '/a')
  ahead = 3_600_000
  await api.registerOwn('new')
  const live = await api.codebase('new', '/a')
  await api.registerOwn('beside')
  const beside = await api.codebase('beside', '/a')

  const list = async (query = {}) => (await api.get('codebases', {}, {query})).body
  const shown = await list()
  expect(shown.map(({id}: {id: string}) => id).sort()).toEqual([elsewhere, live, beside].sort())
  expect(shown.find(({id}: {id: string}) => id === live)).toMatchObject({aliases: [unserved], duplicate_count: 1})
  expect(await list({include_duplicates: 'true'})).toHaveLength(4)
  expect((await api.get('codebaseList')).body).toHaveLength(3)
})

test('workers and codebases are paged if a limit is given', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  for (let i = 0; i < 5; i++) {
    await api.registerOwn(`w${i}`)
    await api.codebase('w0', `/${i}`)
  }

  for (const route of ['workers', 'codebases', 'codebaseList', 'monitorWorkers'] as const) {
    const names: string[] = []
    let cursor: string | null = null
    let pages = 0
    do {
      const page = await api.get(route, {}, {query: {limit: 2, ...(cursor ? {cursor} : {})}})
      names.push(...(page.body.workers ?? page.body).map(({name}: {name: string}) => name))
      cursor = page.headers.get('x-next-cursor')
      pages += 1
    } while (cursor)

    const expected = route.startsWith('codebase') ? ['0', '1', '2', '3', '4'] : ['w0', 'w1', 'w2', 'w3', 'w4']
    expect(pages).toBe(3)
    expect(names.sort()).toEqual(expected)
    expect((await api.get(route, {}, {query: {limit: 0}})).status).toBe(400)
    expect((await api.get(route, {}, {query: {cursor: 'e30'}})).body.detail).toBe('cursor is none of ours')
  }
})

test('a worker without a global codebase gets no global task while a worker with one is connected', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('plain')
  await api.registerOwn('home', {global_codebase_id: 'g'})
  await using plain = await openStream(api, 'plain')
  await using home = await openStream(api, 'home')
  const task = await api.create('global')
  await home.pushed(task.id)
  expect((await api.claim(task.id, 'plain')).body.detail).toContain('does not serve codebase global')
  await home[Symbol.asyncDispose]()
  await until(() => plain.tasks.includes(task.id))
})
