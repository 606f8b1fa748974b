import {once} from 'node:events'
import {createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo, Socket} from 'node:net'
import {setTimeout as sleep} from 'node:timers/promises'

/** A received request, with the status of its answer. */
export type Recorded = {
  at: number
  method: string
  path: string
  query: Record<string, string>
  headers: IncomingHttpHeaders
  text: string
  // oxlint-disable-next-line typescript/no-explicit-any -- what clients send is looked at, not trusted
  body: any
  status: number
}

export type Call = Recorded & {params: Record<string, string>}

/** Returns a value that is sent as JSON. Undefined: the handler answers by itself. */
export type Handler = (call: Call, response: ServerResponse) => unknown

export type Route = readonly [method: string, path: string, handler: Handler]

/** Replaces the server's answer. `own` sends the original answer later, `cut` breaks the connection. */
export type OddAnswer = {status?: number; type?: string; text?: string; afterMs?: number; cut?: boolean; own?: boolean}

/** `{"detail": …}` with this status. */
export class Problem extends Error {
  readonly status: number
  readonly detail: unknown

  constructor(status: number, detail: unknown) {
    super(String(detail))
    this.status = status
    this.detail = detail
  }
}

/** The validation error of a missing field. */
export const missing = (field: string) =>
  new Problem(422, [{type: 'missing', loc: ['body', field], msg: 'Field required', input: {}}])

type Hooks = {record: (call: Recorded) => void; odd: (call: Recorded) => OddAnswer | undefined}

/** node:http with the behaviour of FastAPI: detail bodies, 405 for HEAD, and a bare 500 if a handler crashes. */
export async function listen(port: number, routes: readonly Route[], hooks: Hooks) {
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => void serve(request, response, routes, hooks))
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function serve(request: IncomingMessage, response: ServerResponse, routes: readonly Route[], hooks: Hooks) {
  try {
    const call = await read(request)
    response.on('close', () => (call.status = response.headersSent ? response.statusCode : 0))
    hooks.record(call)
    const odd = hooks.odd(call)
    if (odd?.afterMs) await sleep(odd.afterMs)
    if (odd?.cut) response.destroy()
    else if (odd && !odd.own) answer(response, odd.status ?? 200, odd.text ?? '', odd.type ?? 'text/html')
    else await handle(call, response, routes)
  } catch {
    response.destroy() // the client has disconnected
  }
}

async function read(request: IncomingMessage): Promise<Recorded> {
  const url = new URL(request.url ?? '/', 'http://here')
  const call = {
    at: performance.now(),
    method: request.method ?? '',
    path: request.url?.startsWith('//') ? (request.url.split('?')[0] ?? '') : url.pathname,
    query: Object.fromEntries(url.searchParams),
    headers: request.headers,
    text: '',
    body: undefined as unknown,
    status: 0,
  }
  for await (const chunk of request) call.text += String(chunk)
  try {
    call.body = call.text === '' ? undefined : JSON.parse(call.text)
  } catch {
    call.body = undefined
  }

  return call
}

async function handle(call: Recorded, response: ServerResponse, routes: readonly Route[]): Promise<void> {
  try {
    const found = find(call, routes)
    if (call.text !== '' && call.body === undefined)
      throw new Problem(422, [{type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error', input: {}}])
    const result = await found.handler({...call, params: found.params}, response)
    if (result !== undefined) json(response, 200, result)
  } catch (error) {
    if (error instanceof Problem) json(response, error.status, {detail: error.detail})
    else answer(response, 500, 'Internal Server Error', 'text/plain; charset=utf-8')
  }
}

function find({method, path}: Recorded, routes: readonly Route[]): {handler: Handler; params: Record<string, string>} {
  const matching = routes.flatMap(([verb, pattern, handler]) => {
    const params = match(pattern, path)
    return params ? [{verb, handler, params}] : []
  })
  const found = matching.find(({verb}) => verb === method)
  if (found) return found
  throw matching.length > 0 ? new Problem(405, 'Method Not Allowed') : new Problem(404, 'Not Found')
}

function match(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (wanted.length !== given.length) return undefined
  const params: Record<string, string> = {}
  for (const [i, part] of wanted.entries()) {
    if (part.startsWith(':')) params[part.slice(1)] = decodeURIComponent(given[i] ?? '')
    else if (part !== given[i]) return undefined
  }

  return params
}

const json = (response: ServerResponse, status: number, body: unknown) =>
  answer(response, status, JSON.stringify(body), 'application/json')

function answer(response: ServerResponse, status: number, text: string, type: string): void {
  if (response.headersSent) return void response.destroy()
  response.writeHead(status, {'content-type': type, 'content-length': Buffer.byteLength(text)}).end(text)
}
