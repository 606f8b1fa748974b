import {setTimeout as sleep} from 'node:timers/promises'
import {expect, test} from 'vitest'
import {scratchFolder} from '../support/scratch.ts'
import {Api} from '../server/support/api.ts'
import {startPlane, until} from '../server/support/plane.ts'
import {PythonWorker} from '../server/support/python-worker.ts'

/** A worker that runs the first of two tasks of its codebase, and never ends it. */
async function busyWorker(url: string, options: {id?: string; name?: string} = {}) {
  const api = new Api(url)
  const worker = await PythonWorker.start(url, {hangs: true, ...options})
  await worker.connect()
  const codebase = worker.codebases.get('/srv/app') ?? ''
  const held = await api.create(codebase)
  await until(async () => (await api.task(held.id)).session_id)
  const next = await api.create(codebase)
  return {api, worker, codebase, held, next}
}

test.each([
  ['another id', {}],
  ['the same id', {id: 'w1'}],
])('what a killed worker held starts again once it has started with %s, and so does what waits', async (_, options) => {
  await using plane = await startPlane()
  const {api, worker, codebase, held, next} = await busyWorker(plane.url, options)
  const portable = await api.create('global')
  await until(async () => (await api.task(portable.id)).status === 'running')
  await worker.kill()
  expect((await api.task(held.id)).status).toBe('running')
  await using reborn = await PythonWorker.start(plane.url, options)
  expect(reborn.codebases.get('/srv/app')).toBe(codebase)
  await reborn.connect()
  for (const {id} of [held, next, portable]) await until(async () => (await api.task(id)).status === 'completed')
  expect(await api.task(held.id)).toMatchObject({attempt: 2, worker_id: reborn.id})
})

test('a restarted worker gets no task over the half-open stream of its earlier process', async () => {
  await using plane = await startPlane()
  const {api, worker, held} = await busyWorker(plane.url, {id: 'w1'})
  worker.freeze()
  await using reborn = await PythonWorker.start(plane.url, {id: 'w1'})
  expect((await api.get('connected')).body.count).toBe(0)
  await reborn.connect()
  await until(async () => (await api.task(held.id)).status === 'completed')
})

test('a worker that starts leaves the tasks of a connected worker with its name and host alone', async () => {
  await using plane = await startPlane()
  const {api, worker, codebase, held} = await busyWorker(plane.url)
  await using _ = worker
  await using other = await PythonWorker.start(plane.url)
  expect(other.codebases.get('/srv/app')).not.toBe(codebase)
  expect(await api.task(held.id)).toMatchObject({status: 'running', attempt: 1, worker_id: worker.id})
})

test('a worker that registers `global` again because it was removed has not started again', async () => {
  await using plane = await startPlane()
  const {api, worker, held} = await busyWorker(plane.url, {id: 'w1'})
  await using _ = worker
  const home = worker.codebases.get('/home/py') ?? ''
  expect((await api.send('DELETE', `/v1/opencode/codebases/${home}`)).status).toBe(200)
  await worker.syncSessions(home, [{id: 'ses_g'}]) // 404, and the worker registers it again
  await worker.registerCodebase('global', '/home/py')
  expect(await api.task(held.id)).toMatchObject({status: 'running', attempt: 1})
})

test('a worker with leases tells by its heartbeats what it runs: a request for API keys means nothing', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('own')
  const task = await api.create(await api.codebase('own', '/srv/own'))
  await api.claim(task.id, 'own')
  expect(await api.get('apiKeysSync', {}, {query: {worker_id: 'own'}})).toMatchObject({status: 200})
  expect(await api.task(task.id)).toMatchObject({status: 'running', attempt: 1})
})

test('a report that was lost while the control plane was down blocks the codebase for a limited time only', async () => {
  using scratch = scratchFolder()
  const database = `${scratch.path}/server.db`
  const timings = {silentWorkerMs: 400, offerMs: 60}
  const first = await startPlane({database, timings})
  const {worker, held, next} = await busyWorker(first.url, {id: 'w1'})
  await using _ = worker
  await first.close()
  worker.hangs = false // the run has ended, and its report found nobody
  await using second = await startPlane({database, timings, port: first.port})
  const api = new Api(second.url)
  expect((await api.task(held.id)).status).toBe('running')
  for (const {id} of [held, next]) await until(async () => (await api.task(id)).status === 'completed')
  expect(await api.task(held.id)).toMatchObject({attempt: 2, worker_id: 'w1'})
})

test('a replaced stream puts a quiet task in doubt, a sign of it ends the doubt, and a quiet task alone is none', async () => {
  await using plane = await startPlane({timings: {silentWorkerMs: 300}})
  const {api, worker, held, next} = await busyWorker(plane.url, {id: 'w1'})
  await using _ = worker
  await sleep(450) // a tool call that prints nothing
  expect(await api.task(held.id)).toMatchObject({status: 'running', attempt: 1})
  worker.dropStream()
  await until(() => worker.events.filter((name) => name === 'connected').length === 2)
  await worker.output(held.id, 'a line\n')
  await sleep(450)
  expect(await api.task(held.id)).toMatchObject({status: 'running', attempt: 1})
  worker.dropStream()
  await until(async () => (await api.task(held.id)).attempt === 2)
  expect((await api.task(next.id)).attempt).toBe(1)
})

test('a cancellation that the worker cannot confirm counts after a while, and the answer says so', async () => {
  await using plane = await startPlane({timings: {unstoppableMs: 200}})
  const {api, worker, held, next} = await busyWorker(plane.url)
  await using _ = worker
  const {body} = await api.post('taskCancel', {task: held.id})
  expect(body.message).toMatch(
    /^Cancellation requested: worker py cannot be stopped: the task counts as cancelled in \d s, and its agent may run on$/,
  )
  expect(body.task.status).toBe('running')
  await until(async () => (await api.task(held.id)).status === 'cancelled')
  expect((await api.task(held.id)).error).toBe('its worker, py, cannot be stopped: its agent may still run')
  await until(async () => (await api.task(next.id)).status === 'running')
})

test('a run that ends before its cancellation counts keeps its outcome', async () => {
  await using plane = await startPlane({timings: {unstoppableMs: 60_000}})
  const {api, worker, held} = await busyWorker(plane.url)
  await using _ = worker
  await api.post('taskCancel', {task: held.id})
  await worker.report(held.id, 'completed', {result: 'done'})
  expect(await api.task(held.id)).toMatchObject({status: 'completed', result: 'done'})
})
