import {createServer} from 'node:http'
import {once} from 'node:events'
import type {AddressInfo} from 'node:net'
import {expect, test} from 'vitest'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'
import {RefusedError} from '../../src/lib/client/http.ts'
import {taskStream, type StreamMessage} from '../../src/lib/client/task-stream.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {framesOf, isStream, lacks, parse, recording, replay, titleOf, type Exchange, type Target} from './recording.ts'

/** A server that gives one recorded answer to every request. */
async function answering({status, response_headers, response}: Exchange) {
  const own = new Set(['content-length', 'connection', 'transfer-encoding', 'keep-alive'])
  const headers = response_headers.filter(([name]) => !own.has(name.toLowerCase()))
  const asked: {method: string; path: string; body: string}[] = []
  const server = createServer((request, answer) => {
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      asked.push({method: request.method ?? '', path: request.url ?? '', body})
      answer.writeHead(status, Object.fromEntries(headers)).end(response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = new ControlPlaneClient({baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`})
  return {
    asked,
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]()
      server.closeAllConnections()
      server.close()
    },
  }
}

const memory = {buffer: Buffer.alloc(0)}
type Ask = (client: ControlPlaneClient, one: {id: string; inner: string; query: URLSearchParams; body: any}) => unknown // oxlint-disable-line typescript/no-explicit-any -- as recorded

/** How our client asks what was recorded. `id` and `inner` are the first and second id in the path. */
const asks: [method: string, path: RegExp, ask: Ask][] = [
  ['POST', /^\/v1\/opencode\/workers\/register$/, (client, {body}) => client.registerWorker(body)],
  ['POST', /\/workers\/([^/]+)\/heartbeat$/, (client, {id}) => client.heartbeat(id, undefined)],
  ['POST', /\/workers\/([^/]+)\/unregister$/, (client, {id}) => client.unregister(id)],
  ['GET', /^\/v1\/opencode\/workers$/, (client) => client.workers()],
  ['GET', /^\/v1\/monitor\/workers$/, (client) => client.monitorWorkers()],
  ['POST', /^\/v1\/opencode\/codebases$/, (client, {body}) => client.registerCodebase(body)],
  ['GET', /^\/v1\/opencode\/codebases$/, (client) => client.codebases()],
  ['DELETE', /\/codebases\/([^/]+)$/, (client, {id}) => client.removeCodebase(id)],
  ['GET', /^\/v1\/opencode\/models$/, (client) => client.models()],
  ['GET', /^\/health$/, (client) => client.health()],
  ['POST', /\/codebases\/([^/]+)\/tasks$/, (client, {id, body}) => client.createTask(id, body, 'key')],
  ['POST', /\/codebases\/([^/]+)\/trigger$/, (client, {id, body}) => client.triggerTask(id, body)],
  ['GET', /\/opencode\/tasks$/, (client, {query}) => client.tasks(Object.fromEntries(query))],
  ['GET', /\/opencode\/tasks\/([^/]+)$/, (client, {id}) => client.task(id)],
  ['PUT', /\/tasks\/([^/]+)\/status$/, (client, {id, body}) => client.updateStatus(id, body)],
  ['POST', /\/tasks\/([^/]+)\/cancel$/, (client, {id}) => client.cancelTask(id)],
  [
    'POST',
    /\/tasks\/([^/]+)\/output$/,
    (client, {id, body: {output, ...rest}}) => client.postOutput(id, rest, {bytes: Buffer.from(output), memory}),
  ],
  ['GET', /\/tasks\/([^/]+)\/output$/, (client, {id, query}) => client.outputPage(id, Number(query.get('since') ?? 0))],
  [
    'POST',
    /\/worker\/tasks\/claim$/,
    (client, {body, query}) => client.claim(body.task_id, query.get('worker_id') ?? ''),
  ],
  ['POST', /\/worker\/tasks\/release$/, (client, {body, query}) => client.release(query.get('worker_id') ?? '', body)],
  ['GET', /\/worker\/connected$/, (client) => client.connectedWorkers()],
  ['GET', /\/worker\/connected\/([^/]+)$/, (client, {id}) => client.isConnected(id)],
  [
    'PUT',
    /\/worker\/codebases$/,
    (client, {body, query}) => client.announceCodebases(query.get('worker_id') ?? '', body.codebases),
  ],
  ['POST', /\/codebases\/([^/]+)\/sessions\/sync$/, (client, {id, body}) => client.syncSessions(id, bytesOf(body))],
  [
    'POST',
    /\/codebases\/([^/]+)\/sessions\/([^/]+)\/messages\/sync$/,
    (client, {id, inner, body}) => client.syncMessages(id, inner, bytesOf(body)),
  ],
  ['GET', /\/codebases\/([^/]+)\/sessions$/, (client, {id}) => client.sessions(id)],
]
const bytesOf = (body: unknown) => Buffer.from(JSON.stringify(body))

/** Bad requests that our client never sends. */
const isBad = ({status, body}: Exchange) => status === 422 || status === 405 || body?.includes('odd') === true

const fromPython = [recording('our-worker--python-server'), recording('client--python-server')]
const answered = fromPython.flatMap((all) =>
  all.flatMap((one) => {
    const {pathname, searchParams: query} = new URL(one.path, 'http://x')
    const found = asks.find(([method, path]) => method === one.method && path.test(pathname))
    if (!found || isStream(one) || isBad(one)) return []
    const [, id = '', inner = ''] = found[1].exec(pathname) ?? []
    return [
      {
        title: titleOf(one),
        one,
        ask: (client: ControlPlaneClient) => found[2](client, {id, inner, query, body: parse(one.body ?? '')}),
      },
    ]
  }),
)

test('most of what was recorded of the existing server is read by our client', () => {
  expect(answered.length).toBeGreaterThan(60)
})

test.each(answered)(
  'our client asks as recorded, and reads the answer of the existing server: $title',
  async ({one, ask}) => {
    await using server = await answering(one)
    const outcome = await Promise.resolve(ask(server.client)).then(
      () => 'read',
      (error: unknown) => error,
    )
    expect(server.asked[0]?.method).toBe(one.method)
    expect(server.asked[0]?.path.replace(/\?since=0$/, '')).toBe(one.path)
    if (one.status === 200) expect(outcome).toBe('read')
    else if (!/connected\/|\/cancel/.test(one.path)) {
      expect(outcome).toBeInstanceOf(RefusedError)
      expect((outcome as RefusedError).status).toBe(one.status)
    }
  },
)

test.each(
  fromPython
    .flat()
    .filter((one) => isStream(one) && one.status === 200)
    .map((one) => ({title: titleOf(one), one})),
)('our worker reads the stream of the existing server: $title', async ({one}) => {
  await using server = await answering(one)
  const messages: StreamMessage[] = []
  const about = {workerId: 'w1', instance: 'i', name: 'w1', codebases: [], capabilities: []}
  const options = {...about, silenceMs: 5000, signal: new AbortController().signal, onRetry: () => {}, onId: () => {}}
  for await (const message of taskStream(server.client.http, options)) messages.push(message)
  const frames = framesOf(one.response)
  const tasks = frames.filter(({event}) => event === 'task_available')
  expect(messages.filter(({type}) => type === 'malformed')).toEqual([])
  expect(messages.filter(({type}) => type === 'connected')).toHaveLength(1)
  expect(messages.flatMap((message) => (message.type === 'task' ? [message.task.id] : []))).toEqual(
    tasks.map(({data}) => (data as {id: string}).id),
  )
})

/** What the server of our tests leaves out, because neither our worker nor our commands ask for it. */
const isLeftOut = ({path}: Exchange) =>
  /\/(monitor|database|status$|models|codebases\/list|api-keys|\.well-known|sessions$|resume)|sessions\/ses_\w+(\/messages)?$|codebases\/\w+$|workers\/(none|worker-1)$/.test(
    path,
  )

for (const all of fromPython)
  test.each(all.filter((one) => !isStream(one) && !isLeftOut(one)).map((one) => [titleOf(one), one] as const))(
    'the server of our tests answers as the existing one did: %s',
    async (_, one) => {
      await using server = await ReferenceServer.start()
      const target: Target = {
        url: server.url,
        createTask: async (codebase, about) => server.trigger(codebase, about).id,
      }
      const response = await replay(one, all, target)
      const text = await response.text()
      expect(response.status).toBe(one.status)
      expect(lacks(parse(one.response), parse(text))).toEqual([])
    },
  )
