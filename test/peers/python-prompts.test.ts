import {expect, test} from 'vitest'
import {Api} from '../server/support/api.ts'
import {openStream} from '../server/support/events.ts'
import {startPlane, until} from '../server/support/plane.ts'
import {PythonWorker} from '../server/support/python-worker.ts'

const KiB = 1024
/** The longest line that aiohttp 3.8 reads from a stream, with its end: `_high_water` of a StreamReader. */
const longestLine = 128 * KiB

test.each([30, 60, 100, 125])(
  'a prompt of %d KiB is pushed to the existing worker in a line that it can read',
  async (size) => {
    await using plane = await startPlane()
    await using worker = await PythonWorker.start(plane.url)
    await worker.connect()
    const prompt = 'é'.repeat((size * KiB) / 2)
    const api = new Api(plane.url)
    const task = await api.create(worker.codebases.get('/srv/app') ?? '', {prompt})
    await until(async () => (await api.task(task.id)).status === 'completed')
    expect(worker.frames).toMatchObject([{id: task.id, prompt}])
    expect(worker.longestLine).toBeLessThan(longestLine)
  },
)

test('a worker that reads the description gets it as long as both texts fit', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.register('w1')
  const codebase = await api.codebase('w1', '/srv/app')
  await using stream = await openStream(api, 'w1')
  const short = await api.create(codebase, {prompt: 'x'.repeat(60 * KiB)})
  expect((await stream.pushed(short.id))['description']).toHaveLength(60 * KiB)
  await api.report(short.id, 'w1', 'running')
  await api.report(short.id, 'w1', 'completed')
  const long = await api.create(codebase, {prompt: 'x'.repeat(64 * KiB)})
  expect(await stream.pushed(long.id)).not.toHaveProperty('description')
})

test('for a longer prompt the worker is made to poll, once, and a person sees why the task waits', async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url)
  await worker.connect()
  const api = new Api(plane.url)
  const prompt = 'x'.repeat(200 * KiB)
  const task = await api.create(worker.codebases.get('/srv/app') ?? '', {prompt})
  await until(async () => (await api.task(task.id)).status === 'completed')
  expect((await api.task(task.id)).result).toHaveLength('ran: '.length + prompt.length)
  expect(worker.events.filter((name) => name === 'connected').length).toBeLessThanOrEqual(2)
})

test('a worker that does not poll when its stream ends is not disturbed again soon', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.register('w1')
  const codebase = await api.codebase('w1', '/srv/app')
  await using first = await openStream(api, 'w1')
  const task = await api.create(codebase, {prompt: 'x'.repeat(200 * KiB)})
  await until(() => first.isEnded)
  await using second = await openStream(api, 'w1')
  await api.post('heartbeat', {worker: 'w1'})
  const small = await api.create(codebase)
  await second.pushed(small.id)
  expect(second.isEnded).toBe(false)
  await api.report(small.id, 'w1', 'running')
  await api.report(small.id, 'w1', 'completed')
  expect((await api.task(task.id)).waiting).toBe(
    'its prompt is too long to be pushed to worker w1, which takes it when it polls',
  )
})
