import {expect, test} from 'vitest'
import {systemClock} from '../../../../src/lib/core/clock.ts'
import {Api} from '../../support/api.ts'
import {openStream} from '../../support/events.ts'
import {startPlane, until} from '../../support/plane.ts'

test('a working tree has one offer at a time, and the next task is offered when the first has ended', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w', {max_concurrent_tasks: 5})
  const first = await api.codebase('w', '/a', {tree: '1:2'})
  const second = await api.codebase('w', '/b', {tree: '1:2'})
  await using stream = await openStream(api, 'w')
  const one = await api.create(first)
  const two = await api.create(second)
  await stream.pushed(one.id)
  expect((await api.task(two.id)).waiting).toBe(`working tree busy with task ${one.id}`)
  expect((await api.claim(two.id, 'w')).status).toBe(409)

  await api.claim(one.id, 'w')
  expect((await api.claim(two.id, 'w')).body.detail).toContain('busy')
  expect(stream.tasks).toEqual([one.id])
  await api.report(one.id, 'w', 'completed')
  await stream.pushed(two.id)
})

test('a worker gets no more offers than free slots, by its slots and its last heartbeat', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w', {max_concurrent_tasks: 3, global_codebase_id: 'g'})
  await api.heartbeat('w', [], 1)
  await using stream = await openStream(api, 'w')
  const tasks = []
  for (let i = 0; i < 5; i++) tasks.push((await api.create('global')).id)
  await stream.pushed(tasks[0] ?? '')
  expect(stream.tasks).toHaveLength(1)
  expect((await api.task(tasks[4] ?? '')).waiting).toBe('worker w has no free slot')

  await api.claim(tasks[0] ?? '', 'w')
  await api.heartbeat('w', [{id: tasks[0] ?? '', attempt: 1}], 1)
  await stream.pushed(tasks[1] ?? '')
  expect(stream.tasks).toHaveLength(2)
  await api.report(tasks[0] ?? '', 'w', 'completed') // frees the slot without another heartbeat
  await stream.pushed(tasks[2] ?? '')
  await api.heartbeat('w', [], 3)
  await until(() => stream.tasks.length === 4)
})

test('equal codebases take turns, and a higher priority comes first', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w', {max_concurrent_tasks: 1, global_codebase_id: 'g'})
  const a = await api.codebase('w', '/a')
  const b = await api.codebase('w', '/b')
  const names = new Map<string, string>()
  for (const [name, codebase, priority] of [
    ['a1', a, 0],
    ['a2', a, 0],
    ['a3', a, 0],
    ['b1', b, 0],
    ['b2', b, 0],
    ['urgent', 'global', 5],
  ] as const)
    names.set((await api.create(codebase, {priority})).id, name)
  await using stream = await openStream(api, 'w')
  for (let count = 1; count <= 6; count++) {
    const id = await until(() => stream.tasks[count - 1])
    await api.claim(id, 'w')
    await api.report(id, 'w', 'completed')
  }

  expect(stream.tasks.map((id) => names.get(id))).toEqual(['urgent', 'a1', 'b1', 'a2', 'b2', 'a3'])
})

test('a global task goes to the least loaded worker that has a global codebase, or to any if none has', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  for (const worker of ['plain', 'g1', 'g2'])
    await api.registerOwn(worker, worker === 'plain' ? {} : {global_codebase_id: `${worker}-home`})
  await using plain = await openStream(api, 'plain')
  const early = await api.create('global')
  await plain.pushed(early.id)
  await using one = await openStream(api, 'g1')
  await using two = await openStream(api, 'g2')
  const ids = [await api.create('global'), await api.create('global')].map(({id}) => id)
  await until(() => one.tasks.length === 1 && two.tasks.length === 1)
  expect([...one.tasks, ...two.tasks].sort()).toEqual(ids.sort())
  expect(plain.tasks).toEqual([early.id])
})

test('an offer that is not claimed goes to the next worker, or again to the only one after a pause', async () => {
  await using plane = await startPlane({timings: {offerMs: 60}})
  const api = new Api(plane.url)
  await api.registerOwn('w1', {global_codebase_id: 'g'})
  await api.registerOwn('w2', {global_codebase_id: 'g'})
  await using one = await openStream(api, 'w1')
  await using two = await openStream(api, 'w2')
  const task = await api.create('global')
  await Promise.all([one.pushed(task.id), two.pushed(task.id)])
  await until(() => one.tasks.length + two.tasks.length >= 4)
})

test('a declined task goes to the next worker at once, and to the same worker only after it reconnects', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  const codebase = await api.codebase('w1', '/a')
  await using owner = await openStream(api, 'w1')
  await using other = await openStream(api, 'w2', {'x-codebases': `x, ${codebase}`})
  const task = await api.create(codebase)
  await owner.pushed(task.id)
  expect(other.tasks).toEqual([])
  const declined = await api.post('decline', {}, {task_id: task.id, reason: 'draining'}, {query: {worker_id: 'w1'}})
  expect(declined.status).toBe(200)
  await other.pushed(task.id)
  await api.post('decline', {}, {task_id: task.id, reason: 'policy'}, {query: {worker_id: 'w2'}})
  expect((await api.task(task.id)).waiting).toBe('declined: draining')
  await using again = await openStream(api, 'w1')
  await again.pushed(task.id)
  await until(() => owner.isEnded)
  expect(owner.tasks).toHaveLength(1)
})

test('when a stream closes, its offers go to other workers at once', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  const codebase = await api.codebase('w1', '/a')
  const owner = await openStream(api, 'w1')
  await using other = await openStream(api, 'w2', {'x-codebases': codebase})
  const task = await api.create(codebase)
  await owner.pushed(task.id)
  await owner[Symbol.asyncDispose]()
  await other.pushed(task.id)
})

test('pending tasks are replayed once on connect', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/a')
  const task = await api.create(codebase)
  expect((await api.task(task.id)).waiting).toMatch(/^worker w has no open stream/)
  await using stream = await openStream(api, 'w')
  await stream.pushed(task.id)
  await api.claim(task.id, 'w')
  await using later = await openStream(api, 'w')
  await api.heartbeat('w', [{id: task.id, attempt: 1}])
  expect(later.tasks).toEqual([])
})

test('a task goes only to a worker with the capabilities that it requires', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('cpu', {global_codebase_id: 'g'})
  await api.registerOwn('gpu', {global_codebase_id: 'g'})
  await using cpu = await openStream(api, 'cpu', {'x-capabilities': 'build'})
  const task = await api.create('global', {metadata: {required_capabilities: ['gpu', 'build']}})
  expect((await api.task(task.id)).waiting).toContain('gpu, build')
  expect((await api.claim(task.id, 'nobody')).status).toBe(409)
  await using gpu = await openStream(api, 'gpu', {'x-capabilities': 'build, gpu'})
  await gpu.pushed(task.id)
  expect(cpu.tasks).toEqual([])
})

test('a task that needs a capability which only a worker of another codebase has says which worker that is', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('cpu')
  await api.registerOwn('box')
  const here = await api.codebase('cpu', '/src/here')
  await api.codebase('box', '/src/there')
  await using cpu = await openStream(api, 'cpu', {'x-capabilities': 'build'})
  const task = await api.create(here, {metadata: {required_capabilities: ['gpu']}})
  expect((await api.task(task.id)).waiting).toBe('no worker connected has the capability gpu')
  await using box = await openStream(api, 'box', {'x-capabilities': 'build,gpu'})
  expect((await api.task(task.id)).waiting).toMatch(
    /^no worker of this codebase has the capability gpu; worker box has it, but serves only \S*there$/,
  )
  expect([...cpu.tasks, ...box.tasks]).toEqual([])
})

test('a task with a very long prompt is pushed without the prompt, and only to a worker that fetches it', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.register('py', {global_codebase_id: 'g'})
  await using python = await openStream(api, 'py')
  const long = await api.create('global', {prompt: 'é'.repeat(200_000)})
  const polled = (await api.get('tasks', {}, {query: {status: 'pending'}})).body
  expect(polled[0]).toMatchObject({id: long.id, prompt: 'é'.repeat(200_000)})
  await api.registerOwn('own', {global_codebase_id: 'g'})
  await using own = await openStream(api, 'own')
  const frame = await own.pushed(long.id)
  expect(frame).not.toHaveProperty('prompt')
  expect(frame).not.toHaveProperty('description')
  expect(python.tasks).toEqual([])
})

test('a registration without a worker is offered to one worker after the other, and fails if none has the path', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  const wanted = {name: 'app', path: '/src/app', description: 'd', agent_config: {a: 1}}
  expect(await api.post('codebases', {}, wanted)).toMatchObject({
    status: 400,
    body: {detail: 'No workers available. Start a worker on the machine with access to this path.'},
  })
  await api.register('w1')
  await api.register('w2')
  await using one = await openStream(api, 'w1')
  await using two = await openStream(api, 'w2')
  const {body} = await api.post('codebases', {}, wanted)
  expect(body).toMatchObject({success: true, pending: true})
  const id: string = body.task_id
  const metadata = {name: 'app', path: '/src/app', description: 'd', agent_config: {a: 1}}
  expect(await one.pushed(id)).toMatchObject({agent_type: 'register_codebase', codebase_id: '__pending__', metadata})

  const error = 'Path does not exist on this worker: /src/app'
  await api.report(id, 'w1', 'running')
  expect((await api.report(id, 'w1', 'failed', {error})).body.task.status).toBe('pending')
  await two.pushed(id)
  await api.report(id, 'w2', 'running')
  expect((await api.report(id, 'w2', 'failed', {error})).body.task).toMatchObject({status: 'failed', error})
  expect(one.tasks).toHaveLength(1)
})

test('a poll with a worker id returns what that worker may take; a person who names none sees all tasks', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  await api.registerOwn('w2')
  const mine = await api.codebase('w1', '/a')
  const theirs = await api.codebase('w2', '/a')
  const [first, second, foreign] = [await api.create(mine), await api.create(mine), await api.create(theirs)]
  const ids = async (query: Record<string, string | number>) =>
    (await api.get('tasks', {}, {query: {status: 'pending', ...query}})).body.map(({id}: {id: string}) => id)
  expect(await ids({worker_id: 'w1'})).toEqual([first.id])
  expect(await ids({})).toEqual([first.id, second.id, foreign.id])
  expect(await ids({limit: 10})).toEqual([first.id, second.id, foreign.id])
  expect(await ids({limit: 10, worker_id: 'w1'})).toEqual([first.id, second.id])
  expect(await ids({codebase_id: mine})).toEqual([first.id, second.id])

  await using stream = await openStream(api, 'w1')
  await stream.pushed(first.id)
  expect(await ids({worker_id: 'w1'})).toEqual([first.id]) // its own offer
  expect(await ids({})).toEqual([first.id, second.id, foreign.id])
  await api.claim(first.id, 'w1')
  expect(await ids({worker_id: 'w1'})).toEqual([])
})

test('pages are ordered by priority and age, and each task is on one page', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/a')
  const ids: string[] = []
  for (const priority of [0, 1, 0, 2, 1]) ids.push((await api.create(codebase, {priority})).id)
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const page = await api.get('tasks', {}, {query: {limit: 2, ...(cursor ? {cursor} : {})}})
    seen.push(...page.body.map(({id}: {id: string}) => id))
    cursor = page.headers.get('x-next-cursor')
  } while (cursor)

  expect(seen).toEqual([3, 1, 4, 0, 2].map((index) => ids[index]))
  expect((await api.get('tasks', {}, {query: {limit: 'x'}})).status).toBe(400)
  expect((await api.get('tasks', {}, {query: {cursor: 'x'}})).status).toBe(400)
  expect((await api.get('tasks', {}, {query: {status: 'odd'}})).body).toEqual([])
})

test('the reason why a task waits is shown: nobody serves the codebase', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/a')
  const task = await api.create(codebase)
  await api.post('unregister', {worker: 'w'})
  expect((await api.task(task.id)).waiting).toBe('no worker serves this codebase')
  expect((await api.get('codebase', {codebase})).body).toMatchObject({served: false, hostname: 'box'})
})

test('the reason why a task waits is shown: its worker is offline', async () => {
  let ahead = 0
  const clock = {...systemClock, now: () => Date.now() + ahead}
  await using plane = await startPlane({clock})
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const task = await api.create(await api.codebase('w', '/a'))
  ahead = 3_600_000
  expect((await api.task(task.id)).waiting).toMatch(/^worker w is offline since 20\d\d-/)
  expect((await api.get('monitorWorkers')).body.workers).toMatchObject([{id: 'w', status: 'stale', connected: false}])
})
