import {once} from 'node:events'
import {createServer as createHttpServer, type Server} from 'node:http'
import {createServer, type AddressInfo, type Socket} from 'node:net'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'
import {readEvents} from '../../src/lib/protocol/sse.ts'
import {mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import type {Random} from '../random.ts'
import {answers as samples} from '../samples.ts'
import {verdictOf, type Target} from '../target.ts'

type Call = (client: ControlPlaneClient) => Promise<unknown>

const neverAborted = new AbortController().signal
const outputPosition = {workerId: 'w', attempt: 1, offset: 0, length: 1}
const calls: readonly (readonly [keyof typeof samples, Call])[] = [
  ['health', (client) => client.health()],
  ['health', (client) => client.healthWithDate()],
  ['registered', (client) => client.registerWorker({worker_id: 'w', name: 'n'})],
  ['health', (client) => client.heartbeat('w', {running: [], free: 1})],
  ['health', (client) => client.unregister('w')],
  ['workers', (client) => client.workers()],
  ['monitored', (client) => client.monitorWorkers()],
  ['isConnected', (client) => client.isConnected('w')],
  ['connected', (client) => client.connectedWorkers()],
  ['codebases', (client) => client.codebases()],
  ['codebase', (client) => client.registerCodebase({name: 'n', path: '/p'})],
  ['health', (client) => client.announceCodebases('w', ['c'])],
  ['health', (client) => client.removeCodebase('c')],
  ['models', (client) => client.models()],
  ['health', (client) => client.syncSessions('c', Buffer.from('{}'))],
  ['health', (client) => client.syncMessages('c', 's', Buffer.from('{}'))],
  ['sessions', (client) => client.sessions('c')],
  ['wrapped', (client) => client.createTask('c', {title: 't', prompt: 'p'}, 'key')],
  ['triggered', (client) => client.triggerTask('c', {prompt: 'p', agent: 'build', model: null, metadata: {}})],
  ['task', (client) => client.task('t')],
  ['tasks', (client) => client.tasks()],
  ['health', (client) => client.updateStatus('t', {status: 'running', worker_id: 'w'})],
  ['wrapped', (client) => client.retryTask('t', false)],
  ['health', (client) => client.cancelTask('t')],
  ['claimed', (client) => client.claim('t', 'w')],
  ['health', (client) => client.release('w', {task_id: 't', status: 'completed'})],
  ['health', (client) => client.decline('t', 'w', {reason: 'no'})],
  ['next', (client) => client.postRawOutput('t', Buffer.from('x'), outputPosition)],
  [
    'next',
    (client) => client.postOutput('t', {worker_id: 'w'}, {bytes: Buffer.from('x'), memory: {buffer: Buffer.alloc(0)}}),
  ],
  ['output', (client) => client.outputPage('t', 0)],
  [
    'health',
    async (client) => {
      for await (const _ of readEvents(await client.openOutput('t', 0, neverAborted)));
    },
  ],
]

type Answer = {status: number; headers: Record<string, string>; body: Buffer}

const statuses = [201, 204, 301, 400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 502, 503]
const types = [
  'application/json',
  'application/json; charset=utf-8',
  'text/html',
  'text/event-stream',
  'text/plain',
  '',
]
const oddHeaders = {
  'retry-after': ['-1', '1e999', 'soon', '0.01', '61'],
  'x-next-cursor': ['', 'a', '%00'],
  location: ['', 'http://['],
}

/** Answers of a server, or of a proxy before it, to each method of the client. */
export const answers: Target = {
  name: 'answers',
  share: 160,
  async open() {
    let answer: Answer = {status: 200, headers: {}, body: Buffer.from('')}
    let raw: Buffer = Buffer.from('')
    const polite = createHttpServer((request, response) => {
      request.resume()
      response.writeHead(answer.status, answer.headers).end(answer.body)
    })
    polite.keepAliveTimeout = 60_000
    const broken = createServer((socket) => answerRaw(socket, () => raw))
    const clients = {polite: await clientOf(polite), broken: await clientOf(broken)}
    return {
      async run(random) {
        const [sample, call] = random.pick(calls)
        answer = newAnswer(sample, random)
        const isBroken = random.chance(0.15)
        if (isBroken) raw = newRaw(answer, random)
        const kind = isBroken ? 'broken' : 'polite'
        const verdict = await verdictOf(() => call(clients[kind]))
        // The client remembers missing routes, so the next case starts with a new client.
        if (answer.status === 404 || answer.status === 405 || isBroken) {
          await clients[kind][Symbol.asyncDispose]()
          clients[kind] = newClient(isBroken ? broken : polite)
        }
        return verdict
      },
      async close() {
        for (const client of Object.values(clients)) await client[Symbol.asyncDispose]()
        polite.close()
        broken.close()
      },
    }
  },
}

async function clientOf(server: Server | ReturnType<typeof createServer>): Promise<ControlPlaneClient> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return newClient(server)
}

const newClient = (server: Server | ReturnType<typeof createServer>) =>
  new ControlPlaneClient({baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`})

function answerRaw(socket: Socket, raw: () => Buffer): void {
  socket.on('error', () => {})
  socket.once('data', () => socket.end(raw()))
}

function newAnswer(usual: keyof typeof samples, random: Random): Answer {
  const sample = samples[random.chance(0.7) ? usual : random.pick(Object.keys(samples) as (typeof usual)[])]
  const text = Buffer.from(random.chance(0.7) ? mutateJson(sample, random) : JSON.stringify(sample))
  const body = random.chance(0.3)
    ? mutateBytes(text, random, Buffer.from('<html><body>502 Bad Gateway</body></html>'))
    : text
  const type = random.chance(0.7) ? 'application/json' : random.pick(types)
  const headers: Record<string, string> = type === '' ? {} : {'content-type': type}
  for (const [name, odd] of Object.entries(oddHeaders)) if (random.chance(0.1)) headers[name] = random.pick(odd)
  return {status: random.chance(0.6) ? 200 : random.pick(statuses), headers, body}
}

/** The bytes of an answer: mutated, truncated, with bad chunks or a wrong length. */
function newRaw({status, headers, body}: Answer, random: Random): Buffer {
  const isChunked = random.chance(0.3)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const length = random.chance(0.5) ? body.length : random.below(2 * body.length + 2)
  const framing = isChunked ? 'transfer-encoding: chunked\r\n' : `content-length: ${length}\r\n`
  const head = Buffer.from(`HTTP/1.1 ${status} Words\r\n${framing}${lines.join('')}\r\n`)
  const content = isChunked
    ? Buffer.concat([Buffer.from(`${length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')])
    : body
  const whole = Buffer.concat([head, content])
  return random.chance(0.7) ? mutateBytes(whole, random) : whole
}
