import {expect, test} from 'vitest'
import {Api} from '../server/support/api.ts'
import {openStream} from '../server/support/events.ts'
import {startPlane, until} from '../server/support/plane.ts'
import {PythonWorker} from '../server/support/python-worker.ts'
import {parseParallelTasks} from '../../src/lib/server/tasks/parallel-tasks.ts'

const ids = (tasks: {id: string}[]) => tasks.map(({id}) => id)

test('a worker that only polls gets as many tasks as it has free slots, one per working tree', async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url, {hangs: true})
  const api = new Api(plane.url)
  const app = worker.codebases.get('/srv/app') ?? ''
  const [first, second] = [await api.create(app), await api.create(app)]
  const shared = [await api.create('global'), await api.create('global')]
  expect(ids(await worker.poll())).toEqual([first.id, shared[0]?.id])
  await until(async () => (await api.task(shared[0]?.id ?? '')).session_id)
  await until(async () => (await api.task(first.id)).session_id)
  expect(await worker.poll()).toEqual([])
  await worker.report(first.id, 'completed')
  expect(ids(await worker.poll())).toEqual([second.id])
})

test('twenty tasks of one codebase run without a stream, two at a time if the control plane allows it', async () => {
  await using plane = await startPlane({parallelTasks: parseParallelTasks(['app=2'])})
  await using worker = await PythonWorker.start(plane.url)
  const api = new Api(plane.url)
  const app = worker.codebases.get('/srv/app') ?? ''
  for (let n = 0; n < 20; n++) await api.create(app)
  const sizes: number[] = []
  for (let n = 0; n < 20 && worker.runs.length < 20; n++) {
    sizes.push((await worker.poll()).length)
    const taken = sizes.reduce((sum, size) => sum + size, 0)
    await until(async () => (await api.get('tasks', {}, {query: {status: 'completed'}})).body.length === taken)
  }
  expect(sizes).toEqual(Array.from({length: 10}, () => 2))
  expect(new Set(worker.runs).size).toBe(20)
})

test('a task without a codebase is the answer to one poll, and to none while one of two workers at an address is full', async () => {
  await using plane = await startPlane()
  await using one = await PythonWorker.start(plane.url, {hangs: true})
  await using two = await PythonWorker.start(plane.url, {hangs: true, name: 'py2'})
  const api = new Api(plane.url)
  const shared = [await api.create('global'), await api.create('global'), await api.create('global')]
  expect(ids(await one.poll())).toEqual(ids(shared.slice(0, 2)))
  await two.poll()
  for (const {id} of shared.slice(0, 2)) await until(async () => (await api.task(id)).session_id)
  expect(await two.poll()).toEqual([]) // it might be the other one
  await one.report(shared[0]?.id ?? '', 'completed')
  await two.poll()
  expect([...one.runs, ...two.runs].sort()).toEqual(ids(shared).sort())
})

test('what is offered to a connected worker is no answer to a poll', async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url, {hangs: true})
  const api = new Api(plane.url)
  await api.registerOwn('own', {global_codebase_id: 'g'})
  await using stream = await openStream(api, 'own')
  const task = await api.create('global')
  await stream.pushed(task.id)
  expect(await worker.poll()).toEqual([])
})

test('a task whose poll was answered and that nobody starts is offered again', async () => {
  await using plane = await startPlane({timings: {offerMs: 100}})
  const api = new Api(plane.url)
  await api.register('w1', {global_codebase_id: 'g'})
  const poll = async () =>
    ids((await api.send('GET', '/v1/opencode/tasks?status=pending', undefined, {'user-agent': 'aiohttp/3.8.4'})).body)
  const task = await api.create('global')
  expect(await poll()).toEqual([task.id])
  expect(await poll()).toEqual([])
  await until(async () => (await poll()).includes(task.id))
})

test('a person sees all pending tasks: without aiohttp, with a limit, or where no worker of that kind is known', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('own')
  const app = await api.codebase('own', '/srv/own')
  for (let n = 0; n < 5; n++) await api.create(app)
  const count = async (path: string, agent: string) =>
    (await api.send('GET', path, undefined, {'user-agent': agent})).body.length
  expect(await count('/v1/opencode/tasks?status=pending', 'aiohttp/3.8.4')).toBe(5)
  await using worker = await PythonWorker.start(plane.url, {hangs: true})
  expect(await count('/v1/opencode/tasks?status=pending', 'curl/8.0')).toBe(5)
  expect(await count('/v1/opencode/tasks?status=pending&limit=50', 'aiohttp/3.8.4')).toBe(5)
  expect(await count('/v1/opencode/tasks?status=pending', 'aiohttp/3.8.4')).toBe(0)
  expect(worker.refused).toEqual([])
})

test('a codebase of a Python worker may run several tasks at once if the control plane is told so', async () => {
  await using plane = await startPlane({parallelTasks: parseParallelTasks(['/srv/app=2,other=3'])})
  await using worker = await PythonWorker.start(plane.url, {hangs: true})
  await worker.connect()
  const api = new Api(plane.url)
  const app = worker.codebases.get('/srv/app') ?? ''
  const tasks = [await api.create(app), await api.create(app), await api.create(app)]
  for (const {id} of tasks.slice(0, 2)) await until(async () => (await api.task(id)).status === 'running')
  expect((await api.task(tasks[2]?.id ?? '')).waiting).toMatch(/^working tree busy with task /)
})

test('a worker that locks its working trees still gets one task at a time', async () => {
  await using plane = await startPlane({parallelTasks: parseParallelTasks(['*=5'])})
  const api = new Api(plane.url)
  await api.registerOwn('own')
  const app = await api.codebase('own', '/srv/own')
  const [first, second] = [await api.create(app), await api.create(app)]
  expect((await api.claim(first.id, 'own')).status).toBe(200)
  expect((await api.claim(second.id, 'own')).status).toBe(409)
})

test.each(['app', 'app=0', 'app=x', '=2', 'app=1000'])('--parallel-tasks %s is refused', (text) => {
  expect(() => parseParallelTasks([text])).toThrow(
    `--parallel-tasks takes CODEBASE=N, with N from 1 to 999, not ${text}`,
  )
})
