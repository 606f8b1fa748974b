import {once} from 'node:events'
import {createServer, request, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'

/** What becomes of one exchange. */
export type Fate =
  | {do: 'pass'}
  | {do: 'delay'; ms: number}
  | {do: 'reset'; when: 'before' | 'after'} // of the server's answer: it has not, or it has done what was asked
  | {do: 'answer'; status: number; headers: OutgoingHttpHeaders; body: string} // the proxy's own
  | {do: 'double'} // the request reaches the server twice
  | {do: 'truncate'} // half of the answer, then the end
  | {do: 'hang'} // nothing is passed on, nothing comes back, nothing is closed
  | {do: 'tell'; act: () => void} // passed on, answered by the server; then somebody acts before the answer is passed on

export type FaultProxy = AsyncDisposable & {
  url: string
  /** Decides of each request, `METHOD /path`. */
  fate: (request: string) => Fate
  /** Of whose answers the head is passed on and nothing else: asked for each piece, so what is open falls silent too. */
  isMuted: (request: string) => boolean
  /** Streams that are open stay so, and nothing comes through them any more, in neither direction. */
  setDark(isDark: boolean): void
  /** Breaks every connection, or those of the requests that are under way for such a path. */
  cut(path?: RegExp): void
}

/** Stands between a worker and its control plane, and is what networks, proxies and load balancers can be. */
export async function startFaultProxy(target: string, port = 0): Promise<FaultProxy> {
  let isDark = false
  const open = new Map<ServerResponse, string>()
  const server = createServer((incoming, response) => {
    open.set(response, incoming.url ?? '')
    response.on('close', () => open.delete(response))
    void readBody(incoming).then((body) => {
      if (!body) return // cut in mid-body: nothing of it goes on
      const asked = `${incoming.method} ${incoming.url}`
      const fate: Fate = isDark ? {do: 'hang'} : proxy.fate(asked)
      void suffer(fate, {target, incoming, body, response, isDark: () => isDark || proxy.isMuted(asked)})
    })
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fate: () => ({do: 'pass'}),
    isMuted: () => false,
    setDark: (dark) => {
      // Whoever was kept waiting in the dark finds out with the light.
      if (isDark && !dark) server.closeAllConnections()
      isDark = dark
    },
    cut: (path) => {
      if (!path) return server.closeAllConnections()
      for (const [response, at] of open) if (path.test(at)) response.destroy()
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
  return proxy
}

type Exchange = {
  target: string
  incoming: IncomingMessage
  body: Buffer
  response: ServerResponse
  isDark: () => boolean
}

async function suffer(fate: Fate, exchange: Exchange): Promise<void> {
  const {response} = exchange
  switch (fate.do) {
    case 'hang':
      return
    case 'delay':
      await new Promise((resolve) => setTimeout(resolve, fate.ms))
      return forward(exchange, passOn)
    case 'answer':
      response.writeHead(fate.status, fate.headers).end(fate.body)
      return
    case 'reset':
      if (fate.when === 'before') response.destroy()
      else forward(exchange, (answer) => swallow(answer, () => response.destroy()))
      return
    case 'double':
      return forward(exchange, (answer) => swallow(answer, () => forward(exchange, passOn)))
    case 'truncate':
      return forward(exchange, truncated)
    case 'tell':
      return forward(exchange, (answer) => {
        fate.act()
        passOn(answer, exchange)
      })
    case 'pass':
      return forward(exchange, passOn)
  }
}

type Handle = (answer: IncomingMessage, exchange: Exchange) => void

function forward(exchange: Exchange, handle: Handle): void {
  const {target, incoming, body, response} = exchange
  const onward = request(`${target}${incoming.url}`, {method: incoming.method, headers: incoming.headers}, (answer) =>
    handle(answer, exchange),
  )
  onward.on('error', () => response.destroy())
  response.on('close', () => onward.destroy())
  onward.end(body)
}

function passOn(answer: IncomingMessage, {response, isDark}: Exchange): void {
  response.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders()
  answer.on('data', (chunk: Buffer) => isDark() || response.write(chunk))
  answer.on('end', () => isDark() || response.end())
  answer.on('error', () => isDark() || response.destroy())
}

function truncated(answer: IncomingMessage, {response}: Exchange): void {
  const {'transfer-encoding': _chunked, ...headers} = answer.headers
  void readBody(answer).then((whole = Buffer.alloc(0)) => {
    response.writeHead(answer.statusCode ?? 502, {...headers, 'content-length': whole.length})
    response.write(whole.subarray(0, whole.length / 2), () => response.destroy())
  })
}

function swallow(answer: IncomingMessage, then: () => void): void {
  answer.resume()
  answer.on('end', then)
}

/** Undefined where the connection broke before the end. */
async function readBody(incoming: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
  } catch {
    return undefined
  }

  return Buffer.concat(chunks)
}
