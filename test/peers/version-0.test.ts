import {createServer, type ServerResponse} from 'node:http'
import {once} from 'node:events'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {Api} from '../server/support/api.ts'
import {openStream, type Listener} from '../server/support/events.ts'
import {startPlane} from '../server/support/plane.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {openWorkshop} from '../support/workshop.ts'
import {framesOf, isStream, lacks, parse, recordingOfVersion0, titleOf, type Exchange} from './recording.ts'

/*
 * Worker and control plane of an earlier version, which knew no assignments, with those of today. What the other side
 * says was recorded from the real program of that version. So these tests show what would happen with it: they do not
 * imitate it from memory.
 */
const all = recordingOfVersion0()
const claims = all.filter(({path}) => path.includes('/tasks/claim'))
const tasks = claims.map(({response}) => (parse(response) as {task: RecordedTask}).task)
type RecordedTask = {id: string; codebase_id: string; title: string; prompt: string}

const bodyOf = ({body}: Pick<Exchange, 'body'>) => (parse(body ?? '') ?? {}) as Record<string, string>

/** The ids of the control plane of the test by the recorded ones. */
class Ids {
  readonly #ids = new Map<string, string>()

  learn(recorded: string, live: string): void {
    this.#ids.set(recorded, live)
  }

  live(text: string): string {
    return [...this.#ids].reduce((so, [recorded, live]) => so.replaceAll(recorded, live), text)
  }
}

/** Lets happen at the control plane what had happened before the worker sent this request. */
async function prepare(one: Exchange, {api, ids, stream}: {api: Api; ids: Ids; stream: Listener}): Promise<void> {
  const task = one.path.includes('/tasks/claim') && tasks.find(({id}) => id === bodyOf(one)['task_id'])
  if (task) {
    const {title, prompt} = task
    const {id} = await api.create(ids.live(task.codebase_id), {title, prompt})
    ids.learn(task.id, id)
    const frame = await stream.pushed(id)
    expect(frame).toMatchObject({status: 'pending', worker_id: null, attempt: 1, prompt})
    expect(frame).not.toHaveProperty('confirm_ms')
  }

  if (one.path.includes('/tasks/decline')) {
    await api.post('codebases', {}, {name: 'gamma', path: '/nonexistent/gamma'})
    const pushed = () => stream.data('task_available').find(({agent_type: kind}) => kind === 'register_codebase')
    ids.learn(bodyOf(one)['task_id'] ?? '', (await until(pushed, 'the registration')).id)
  }

  if (bodyOf(one)['status'] === 'cancelled') {
    await api.post('taskCancel', {task: ids.live(one.path).split('/').at(-2) ?? ''})
    await until(() => stream.data('task_cancelled').length > 0, 'the cancellation to be pushed')
  }
}

test('a worker of version 9e45809 is offered tasks, and all that it sends gets the answer that it understands', async () => {
  await using plane = await startPlane()
  await using stack = new AsyncDisposableStack()
  const api = new Api(plane.url)
  const ids = new Ids()
  let stream: Listener | undefined
  for (const one of all) {
    const {method, headers, body} = one
    const sent = headers.filter(([name]) => !['content-length', 'connection'].includes(name.toLowerCase()))
    const live = {...one, headers: Object.fromEntries(sent.map(([name, value]) => [name, ids.live(value)]))}
    if (isStream(one)) {
      stream = stack.use(await openStream(api, 'worker-1', live.headers))
      continue
    }
    if (stream) await prepare(one, {api, ids, stream})
    const response = await fetch(plane.url + ids.live(one.path), {
      ...{method, headers: live.headers},
      ...(body ? {body: ids.live(body)} : {}),
    })
    const answer = parse(await response.text()) as {codebase?: {id: string}}
    expect(response.status, titleOf(one)).toBe(one.status)
    expect(lacks(parse(one.response), answer), titleOf(one)).toEqual([])
    const codebase = (parse(one.response) as {codebase?: {id: string}}).codebase
    if (codebase && answer.codebase) ids.learn(codebase.id, answer.codebase.id)
  }

  const [completed = '', failed = '', cancelled = '', stopped = ''] = tasks.map(({id}) => ids.live(id))
  expect(await api.task(completed)).toMatchObject({status: 'completed', result: 'half\ndone', attempt: 1})
  expect(await api.task(failed)).toMatchObject({status: 'failed', attempt: 1})
  expect(await api.task(cancelled)).toMatchObject({status: 'cancelled', attempt: 1})
  const recorded = framesOf(all.find(isStream)?.response ?? '').filter(({event}) => event === 'task_available')
  for (const {data} of recorded.slice(0, 1)) expect(lacks(data, stream?.data('task_available')[0])).toEqual([])

  // What it gives up for: 409 to a claim, a report and output of an attempt that is over.
  const refused = async (method: string, path: string, body: object) => {
    const text = JSON.stringify(body)
    const answer = await fetch(plane.url + path, {method, headers: {'content-type': 'application/json'}, body: text})
    expect(answer.status).toBe(409)
    return (await answer.json()) as {detail: string; next?: number}
  }
  const claim = await refused('POST', '/v1/worker/tasks/claim?worker_id=worker-1', {task_id: completed})
  expect(claim.detail).toMatch(/already completed/)
  await api.post('taskRetry', {task: stopped})
  const late = {status: 'completed', worker_id: 'worker-1', attempt: 1}
  expect((await refused('PUT', `/v1/opencode/tasks/${stopped}/status`, late)).detail).toMatch(/attempt 2/)
  const output = {worker_id: 'worker-1', output: 'x', attempt: 1, offset: 0, length: 1}
  expect(await refused('POST', `/v1/opencode/tasks/${stopped}/output`, output)).toMatchObject({next: 0})
})

type Asked = {method: string; path: string; body: Record<string, unknown>}

/** A control plane that answers as the recorded one did. Only the ids and paths of the worker of the test are put in. */
async function replayPlane(folder: string) {
  const asked: Asked[] = []
  let workerId = 'unknown'
  let stream: ServerResponse | undefined
  const live = (text: string) => text.replaceAll('worker-1', workerId).replaceAll('/home/worker', folder)
  const frames = (all.find(isStream)?.response ?? '').split('\n\n')
  const answerTo = ({method, path, body}: Asked): Exchange | undefined => {
    const [route] = path.replaceAll(workerId, 'worker-1').split('?')
    const isSame = (one: Exchange) =>
      ['name', 'task_id', 'status'].every((key) => !(key in bodyOf(one)) || bodyOf(one)[key] === body[key])
    return all.find((one) => one.method === method && one.path.split('?')[0] === route && isSame(one))
  }
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk) => (text += String(chunk)))
    request.on('end', () => {
      const {method = '', url = ''} = request
      const one = {method, path: url, body: (parse(text) ?? {}) as Record<string, unknown>}
      if (url.endsWith('/workers/register')) workerId = String(one.body['worker_id'])
      asked.push(one)
      const found = answerTo(one)
      if (found && isStream(found)) {
        stream = response
        response.writeHead(200, {'content-type': 'text/event-stream'}).flushHeaders()
        return send('connected')
      }
      response.writeHead(found?.status ?? 404, {'content-type': 'application/json'})
      response.end(found ? live(acknowledged(found, url)) : '{"detail":"Not Found"}')
    })
  })
  /** Sends the recorded frame that contains this text. */
  const send = (part: string) => void stream?.write(`${live(frames.find((frame) => frame.includes(part)) ?? '')}\n\n`)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    send,
    /** Resolves with the body of the first such request. */
    until: (method: string, path: string, status?: string) =>
      until(
        () =>
          asked.find(
            (one) =>
              one.method === method &&
              one.path.includes(path) &&
              (status === undefined || one.body['status'] === status),
          )?.body,
        `${method} ${path} ${status ?? ''}`,
      ),
    [Symbol.dispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** Batches depend on the moment, so their ends are those of the request, as that control plane answered. */
function acknowledged({path, response}: Exchange, url: string): string {
  if (!path.includes('/output')) return response
  const {searchParams} = new URL(url, 'http://x')
  const next = Number(searchParams.get('offset')) + Number(searchParams.get('length'))
  return JSON.stringify({...(parse(response) as object), next})
}

test('a worker of today claims the offers of a control plane of version 9e45809, and reports them', async () => {
  await using shop = openWorkshop({OPENCODE_BIN_PATH: stubBinary})
  using plane = await replayPlane(shop.path)
  const paths = ['alpha', 'beta'].map((name) => repository(join(shop.path, name)))
  const worker = await shop.worker(plane.url, 'box', paths)
  const [first, , third] = tasks
  plane.send(`"task_id":"${first?.id}"`)
  expect(await plane.until('POST', '/tasks/claim')).toEqual({task_id: first?.id})
  const report = await plane.until('PUT', `/tasks/${first?.id}/status`, 'completed')
  expect(report).toMatchObject({result: 'half\ndone', attempt: 1, session_id: 'ses_1'})

  plane.send(`"task_id":"${third?.id}"`)
  await plane.until('PUT', `/tasks/${third?.id}/status`, 'running')
  plane.send('event: task_cancelled')
  expect(await plane.until('PUT', `/tasks/${third?.id}/status`, 'cancelled')).toMatchObject({attempt: 1})

  worker.process.kill('SIGTERM')
  await plane.until('POST', '/unregister') // it leaves once its reports are acknowledged
  await until(() => worker.process.exitCode !== null, 'the worker to leave')
  expect(worker.process.exitCode).toBe(0)
  expect(plane.asked.filter(({path}) => path.includes('/tasks/claim'))).toHaveLength(2)
  expect(worker.stderr()).not.toMatch(/ERROR|WARN/)
})
