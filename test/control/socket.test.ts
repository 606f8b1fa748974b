import {join} from 'node:path'
import {createServer} from 'node:net'
import {once} from 'node:events'
import {expect, test} from 'vitest'
import type {WorkerStatus} from '../../src/lib/control/messages.ts'
import {sendRequest, watchWorker} from '../../src/lib/control/socket-client.ts'
import {serveSocket, type ControlHandlers} from '../../src/lib/control/socket-server.ts'
import {systemClock} from '../../src/lib/core/clock.ts'
import {EventBus} from '../../src/lib/events/bus.ts'
import type {WorkerEvent} from '../../src/lib/events/worker-event.ts'
import {statusFromView} from '../../src/lib/ui/view/snapshot.ts'
import {ViewStore} from '../../src/lib/ui/view/view-store.ts'
import {scratchFolder, until} from '../support/scratch.ts'
import {connected, newView} from '../support/views.ts'

const facts = {
  pid: 1,
  version: '1',
  free: 3,
  worker_id: 'w1',
  server: 'http://plane.test',
  disk: null,
  containment: null,
  agents: [],
}

/** A control socket backed by only a view and an event bus. */
async function openSocket(path: string, view = connected()) {
  const bus = new EventBus(systemClock)
  const store = new ViewStore(view)
  bus.on(store.push)
  const done: string[] = []
  const counts = {watchers: 0}
  const handlers: ControlHandlers = {
    status: () => statusFromView(store.get(), facts, Date.now()),
    drain: () => void done.push('drain'),
    detach: () => void done.push('detach'),
    syncSessions: async () => [],
    setPaused: (isPaused) => void done.push(`paused ${isPaused}`),
    cancel: async (taskId) => {
      if (taskId !== 'here') throw new Error(`task ${taskId} does not run here`)
    },
    createTask: async (codebaseId, prompt) => `${codebaseId} ${prompt}`,
    say: async (taskId, {text}) => `${taskId} ${text}`,
    addCodebase: async () => {},
    watch: (listener) => {
      counts.watchers += 1
      const listening = bus.on(listener)
      return {
        [Symbol.dispose]() {
          counts.watchers -= 1
          listening[Symbol.dispose]()
        },
      }
    },
  }
  const server = await serveSocket(path, handlers)
  return {bus, store, done, counts, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]()}
}

test('pause, resume, drain, cancel and creating a task work over the socket', async () => {
  using scratch = scratchFolder()
  const path = join(scratch.path, 'worker.sock')
  await using socket = await openSocket(path)
  for (const op of ['pause', 'resume', 'drain', 'detach'] as const) await sendRequest(path, {op})
  expect(socket.done).toEqual(['paused true', 'paused false', 'drain', 'detach'])
  expect(await sendRequest(path, {op: 'cancel', task_id: 'here'})).toEqual({value: undefined})
  await expect(sendRequest(path, {op: 'cancel', task_id: 'x'})).rejects.toThrow('task x does not run here')
  const created = await sendRequest(path, {op: 'create-task', codebase_id: 'cb1', prompt: 'Fix it'})
  expect(created).toEqual({value: 'cb1 Fix it'})
  expect(await sendRequest(join(scratch.path, 'none.sock'), {op: 'status'})).toBeUndefined()
})

test('a watcher gets the current status and then each event exactly once, however many there are', async () => {
  using scratch = scratchFolder()
  const path = join(scratch.path, 'worker.sock')
  await using socket = await openSocket(path)
  const emit = (i: number) => socket.bus.emit({type: 'notice', level: 'info', text: `notice ${i}`})
  let sent = 0
  const timer = setInterval(() => emit(sent++), 1)
  const leave = new AbortController()
  let status: WorkerStatus | undefined
  const events: WorkerEvent[] = []
  await until(() => sent > 10, 'some events')
  const watching = watchWorker(path, {
    signal: leave.signal,
    onStatus: (received) => (status = received),
    onEvent: (event) => events.push(event),
  })
  await until(() => events.length > 100, 'events')
  clearInterval(timer)
  for (let i = 0; i < 5000; i++) emit(sent++)
  const texts = () => [
    ...(status?.log.items ?? []).map(({text}) => text).filter((text) => text.startsWith('notice')),
    ...events.flatMap((event) => (event.type === 'notice' ? event.text : [])),
  ]
  await until(() => texts().at(-1) === `notice ${sent - 1}`, 'the last event')
  expect(texts()).toEqual(Array.from({length: sent}, (_, i) => `notice ${i}`))
  expect(socket.counts.watchers).toBe(1)
  leave.abort()
  expect(await watching).toBe(true)
  await until(() => socket.counts.watchers === 0, 'the worker to notice')
})

test('a watcher notices the end of the worker, and ignores unknown events', async () => {
  using scratch = scratchFolder()
  const path = join(scratch.path, 'worker.sock')
  const signal = new AbortController().signal
  const events: WorkerEvent[] = []
  const onEvent = (event: WorkerEvent) => void events.push(event)
  expect(await watchWorker(path, {signal, onStatus: () => {}, onEvent})).toBe(false)
  const server = createServer((socket) => {
    const status = statusFromView(newView(), facts, 0)
    const lines = [
      {type: 'from.the.future', at: 1},
      {ok: true, value: status},
      {type: 'from.the.future', at: 2},
      {type: 'notice', level: 'odd', text: 5, at: 3},
      {type: 'notice', level: 'info', text: 'known', at: 4, more: true},
    ]
    socket.end(`${lines.map((line) => JSON.stringify(line)).join('\n')}\nnot json\n`)
  }).listen(path)
  await once(server, 'listening')
  let told = 0
  expect(await watchWorker(path, {signal, onStatus: () => (told += 1), onEvent})).toBe(true)
  expect(told).toBe(1)
  expect(events).toEqual([{type: 'notice', level: 'info', text: 'known', at: 4}])
  server.close()
})
