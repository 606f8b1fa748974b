import {join} from 'node:path'
import {expect, test} from 'vitest'
import {answering} from '../../support/agent-lines.ts'
import {startFleet} from '../../support/fleet.ts'
import {startProxy} from '../../support/proxy.ts'
import {ReferenceServer} from '../../support/reference-server.ts'
import {repository, scratchFolder, until} from '../../support/scratch.ts'
import {startInProcessWorker, type InProcessWorker} from '../../support/in-process-worker.ts'
import {says} from '../../support/workshop.ts'

const stream = /^\/v1\/worker\/tasks\/stream/

/** The states of the connection, in order. */
const links = ({events}: InProcessWorker) =>
  events.flatMap((event) => (event.type === 'link.changed' ? [event.link] : []))

const warnings = ({events}: InProcessWorker) =>
  events.flatMap((event) => (event.type === 'notice' && event.level === 'warn' ? [event.text] : []))

const result = (server: ReferenceServer, task: {id: string}) =>
  until(() => server.task(task.id).result, `task ${task.id} to end`)

test.each([
  ['refuses the stream', 'refuse'],
  ['withholds the stream', 'silence'],
] as const)(
  'a proxy that %s costs latency only: polling takes over, and the stream returns once it is allowed',
  async (_, rule) => {
    await using fleet = await startFleet()
    await using proxy = await startProxy(fleet.url)
    const path = repository(join(fleet.path, 'p'))
    const worker = await fleet.workerAt(proxy.url, 'w', [path], ['--poll-interval', '1'])
    proxy.rule = (at) => (stream.test(at) ? rule : 'pass')
    proxy.cut(stream)
    await says(worker, 'Falling back to polling')
    await until(() => proxy.requests.filter((at) => at.includes('/tasks/stream')).length > 1, 'the next stream')
    const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=1'})
    expect(await fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
    expect(worker.stderr()).toContain('Received task (poll)')
    proxy.rule = () => 'pass'
    proxy.cut(stream)
    await says(worker, /Falling back[^]*Task stream connected/)
    const next = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=1'})
    expect((await fleet.ended(next.id)).status).toBe('completed')
    expect(worker.stderr().match(/Falling back to polling|Task stream connected|out of reach/g)).toEqual([
      'Task stream connected',
      'Falling back to polling',
      'Task stream connected',
    ])
  },
)

test('a silent stream is closed after sse_heartbeat_timeout', async () => {
  await using server = await ReferenceServer.start({heartbeatMs: 100})
  await using proxy = await startProxy(server.url)
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(proxy.url, [path], {
    factor: 1,
    settings: {sse_heartbeat_timeout: '1'},
  })
  await until(() => links(worker).includes('stream'), 'the stream')
  proxy.rule = (at) => (stream.test(at) ? 'silence' : 'pass')
  await until(() => links(worker).includes('poll'), 'the silence to be noticed')
  proxy.rule = () => 'pass'
  await until(() => links(worker).length === 3, 'a new stream')
  expect(links(worker)).toEqual(['stream', 'poll', 'stream'])
  expect(worker.log()).toMatch(/Falling back to polling: .*the answer stalled/)
})

test('a stream that always ends at once is retried with increasing pauses', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  server.odd = ({path: at}) => (stream.test(at) ? {type: 'text/event-stream', text: ': hello\n\n'} : undefined)
  await using _worker = await startInProcessWorker(server.url, [path])
  await until(() => server.calls('POST', /\/heartbeat$/).length === 8, 'two minutes of the worker')
  expect(server.calls('GET', stream).length).toBeLessThan(25)
})

test('an event that is no task is logged, and the stream continues', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path], {factor: 1})
  await until(() => server.streams.entries.size > 0, 'the stream')
  server.streams.sendRaw('event: task_available\ndata: {"id": "x", \n\n')
  server.streams.sendRaw('event: task_available\ndata: {"id": 3}\n\n')
  server.streams.sendRaw('event: task_cancelled\ndata: nothing\n\n')
  server.streams.sendRaw('no field at all\n\uFFFD\u0000\n: comment\nevent: task_available\n\nretry: soon\n\n')
  const task = server.trigger(server.codebaseId(path), {prompt: answering('well again')})
  expect(await result(server, task)).toBe('well again')
  expect(warnings(worker)).toEqual([
    'Ignored a malformed message on the task stream: event task_available does not hold a task: {"id": "x", ',
    'Ignored a malformed message on the task stream: event task_available does not hold a task: {"id": 3}',
    'Ignored a malformed message on the task stream: event task_cancelled names no task: nothing',
  ])
  expect(links(worker)).toEqual(['stream'])
})

test('an endless event breaks the stream, not the worker', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path], {factor: 10})
  await until(() => server.streams.entries.size > 0, 'the stream')
  server.streams.sendRaw(`data: ${'x'.repeat(9 * 1024 * 1024)}`)
  await until(() => links(worker).length === 3, 'a new stream')
  expect(worker.log()).toMatch(/Falling back to polling: .*an event of the stream is over/)
  const task = server.trigger(server.codebaseId(path), {prompt: answering('well again')})
  expect(await result(server, task)).toBe('well again')
})

test('answers that are HTML, broken JSON or of another shape are logged once, and the worker works once they are valid', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path], {factor: 400})
  await until(() => server.streams.entries.size > 0, 'the stream')
  const odd = [
    {text: '<html>hello</html>'},
    {type: 'application/json', text: '[{"id": '},
    {type: 'application/json', text: '[{"id": 3}]'},
    {status: 502, text: '<html>Bad Gateway</html>'},
  ]
  for (const answer of odd) {
    const before = server.requests.length
    server.odd = ({path: at}) => (stream.test(at) ? undefined : answer)
    const polls = () => server.requests.slice(before).filter(({path: at}) => at === '/v1/opencode/tasks').length
    await until(() => polls() >= 3, 'three polls')
  }

  server.odd = () => undefined
  const task = server.trigger(server.codebaseId(path), {prompt: answering('well again')})
  expect(await result(server, task)).toBe('well again')
  const polling = warnings(worker).filter((text) => text.startsWith('Cannot list tasks'))
  expect(polling).toEqual([
    expect.stringMatching(/answered an HTML page, which no control plane does/),
    expect.stringMatching(/answered malformed JSON/),
    expect.stringMatching(/not what a control plane sends: 0\.id/),
    expect.stringMatching(/Bad Gateway \(HTTP 502\)/),
  ])
  expect(worker.running.lifecycle.phase).toBe('running')
  expect(links(worker)).toEqual(['stream'])
})
