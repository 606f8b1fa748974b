import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {answering} from '../support/agent-lines.ts'
import {startPlane} from '../support/plane.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {startInProcessWorker, type InProcessWorker} from '../support/in-process-worker.ts'

const isStreaming = ({running}: InProcessWorker) => until(() => running.intake.connection === 'stream', 'the stream')
const hasStarted = ({events}: InProcessWorker, id: string) =>
  until(() => events.some((event) => event.type === 'task.started' && event.taskId === id), 'the task to run')

/** A script that ends once the file exists. */
const untilThere = (file: string) => `while [ ! -e ${file} ]; do sleep 0.05; done\n${answering('slow')}`

type Plane = Awaited<ReturnType<typeof startPlane>>

const idsOf = async (plane: Plane, paths: string[]) => {
  const all = (await plane.call('GET', '/v1/opencode/codebases')).body as {id: string; path: string}[]
  return paths.map((path) => all.find((codebase) => codebase.path === path)?.id ?? '')
}

test('a paused worker takes no tasks and continues active ones; once resumed, it takes waiting tasks at once', async () => {
  await using plane = await startPlane()
  using scratch = scratchFolder()
  const paths = ['a', 'b'].map((name) => repository(join(scratch.path, name)))
  await using worker = await startInProcessWorker(plane.url, paths, {factor: 1})
  await isStreaming(worker)
  const [first = '', second = ''] = await idsOf(plane, paths)
  const stop = join(scratch.path, 'stop')
  const slow = await plane.task(first, {prompt: untilThere(stop)})
  await hasStarted(worker, slow.id)

  worker.running.setPaused(true)
  expect(worker.running.runner.freeSlots).toBe(0)
  const waits = await plane.task(second, {prompt: answering('hi')})
  await until(
    async () => /no free slot|the worker is paused/.test((await plane.get(waits.id)).waiting ?? ''),
    'the server to know, with no heartbeat in between',
  )
  writeFileSync(stop, '')
  await until(async () => (await plane.get(slow.id)).status === 'completed', 'what ran to end')
  expect((await plane.get(waits.id)).status).toBe('pending')

  worker.running.setPaused(false)
  await until(async () => (await plane.get(waits.id)).status === 'completed', 'what waited', 5000)
  expect(worker.log()).toMatch(/Paused: the worker takes no tasks[^]*Resumed: the worker takes tasks again/)
})

test('with the existing server, which does not know declining, a paused worker remembers pushed tasks', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path], {factor: 1})
  await isStreaming(worker)
  await until(() => server.streams.entries.size > 0, 'the stream to be known to the server')
  worker.running.setPaused(true)
  const task = server.trigger(server.codebaseId(path), {prompt: answering('hi')})
  await until(() => worker.events.some(({type}) => type === 'task.waiting'), 'the task to be seen')
  expect(server.task(task.id).status).toBe('pending')
  worker.running.setPaused(false)
  await until(() => server.task(task.id).status === 'completed', 'the task to end', 5000)
})

test('the queue of the server is read only while somebody watches', async () => {
  await using plane = await startPlane()
  using scratch = scratchFolder()
  const paths = ['a', 'b'].map((name) => repository(join(scratch.path, name)))
  await using worker = await startInProcessWorker(plane.url, [paths[0] ?? ''], {factor: 10})
  await isStreaming(worker)
  const [ours = ''] = await idsOf(plane, paths)
  const others = await plane.codebase('somebody-else', '/elsewhere')
  const stop = join(scratch.path, 'stop')
  const slow = await plane.task(ours, {prompt: untilThere(stop)})
  await hasStarted(worker, slow.id)
  await plane.task(others)
  const queues = () => worker.events.filter((event) => event.type === 'queue.changed')
  const waits = await plane.task(ours, {title: 'Later', prompt: answering('hi')})
  const watching = worker.running.queue.watch()
  await until(() => queues().at(-1)?.tasks.length === 1, 'the queue to be reported')
  expect(queues().at(-1)).toMatchObject({
    tasks: [
      {id: waits.id, title: 'Later', reason: `working tree busy with task ${slow.id}`, since: expect.any(Number)},
    ],
    more: 0,
  })
  expect(queues()).toHaveLength(1)
  watching[Symbol.dispose]()
  writeFileSync(stop, '')
  await until(async () => (await plane.get(waits.id)).status === 'completed', 'the tasks to end')
  expect(queues()).toHaveLength(1)
  using _again = worker.running.queue.watch()
  await until(() => queues().at(-1)?.tasks.length === 0, 'the queue to be reported again')
})
