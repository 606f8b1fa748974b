import {once} from 'node:events'
import {createServer, request, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'

/** What the proxy does with one request. */
export type ProxyAction =
  | {do: 'pass'}
  | {do: 'delay'; ms: number}
  | {do: 'reset'; when: 'before' | 'after'} // the server has not answered yet, or has done what was requested
  | {do: 'answer'; status: number; headers: OutgoingHttpHeaders; body: string} // an answer of the proxy
  | {do: 'double'} // the request reaches the server twice
  | {do: 'truncate'} // half of the answer, then the connection ends
  | {do: 'hang'} // nothing is passed on, answered or closed
  | {do: 'intervene'; act: () => void} // after the server's answer, and before it is passed on, `act` is called

export type FaultProxy = AsyncDisposable & {
  url: string
  /** Chooses the action for each request, `METHOD /path`. */
  chooseAction: (request: string) => ProxyAction
  /** Whether only the head of the answer is passed on. Called for each piece, so open streams fall silent, too. */
  withholdsBody: (request: string) => boolean
  /** Connections stay open, and nothing is passed on in either direction. */
  setBlackHole(isOn: boolean): void
  /** Breaks all connections, or those of active requests for such a path. */
  cut(path?: RegExp): void
}

/** A proxy between a worker and its control planes, any of which takes any request, with the faults of networks, proxies and load balancers. */
export async function startFaultProxy(targets: string | readonly string[], port = 0): Promise<FaultProxy> {
  let isBlackHole = false
  const open = new Map<ServerResponse, string>()
  const server = createServer((incoming, response) => {
    open.set(response, incoming.url ?? '')
    response.on('close', () => open.delete(response))
    void readBody(incoming).then((body) => {
      if (!body) return // the request broke off: nothing is passed on
      const requestLine = `${incoming.method} ${incoming.url}`
      const action: ProxyAction = isBlackHole ? {do: 'hang'} : proxy.chooseAction(requestLine)
      void performAction(action, {
        targets: [targets].flat(),
        incoming,
        body,
        response,
        isSilent: () => isBlackHole || proxy.withholdsBody(requestLine),
      })
    })
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    chooseAction: () => ({do: 'pass'}),
    withholdsBody: () => false,
    setBlackHole: (isOn) => {
      // Requests that waited meanwhile fail now.
      if (isBlackHole && !isOn) server.closeAllConnections()
      isBlackHole = isOn
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
  targets: readonly string[]
  incoming: IncomingMessage
  body: Buffer
  response: ServerResponse
  isSilent: () => boolean
}

async function performAction(action: ProxyAction, exchange: Exchange): Promise<void> {
  const {response} = exchange
  switch (action.do) {
    case 'hang':
      return
    case 'delay':
      await new Promise((resolve) => setTimeout(resolve, action.ms))
      return forward(exchange, passThrough)
    case 'answer':
      response.writeHead(action.status, action.headers).end(action.body)
      return
    case 'reset':
      if (action.when === 'before') response.destroy()
      else forward(exchange, (answer) => drain(answer, () => response.destroy()))
      return
    case 'double':
      return forward(exchange, (answer) => drain(answer, () => forward(exchange, passThrough)))
    case 'truncate':
      return forward(exchange, truncate)
    case 'intervene':
      return forward(exchange, (answer) => {
        action.act()
        passThrough(answer, exchange)
      })
    case 'pass':
      return forward(exchange, passThrough)
  }
}

type Handle = (answer: IncomingMessage, exchange: Exchange) => void

function forward(exchange: Exchange, handle: Handle): void {
  const {targets, incoming, body, response} = exchange
  const shuffled = targets.toSorted(() => Math.random() - 0.5)
  const send = (at: number) => {
    const {method, headers} = incoming
    const upstream = request(`${shuffled[at]}${incoming.url}`, {method, headers}, (answer) => handle(answer, exchange))
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      // like a load balancer, it asks another one if nobody listens
      if (error.code === 'ECONNREFUSED' && at + 1 < shuffled.length && !response.destroyed) send(at + 1)
      else response.destroy()
    })
    response.on('close', () => upstream.destroy())
    upstream.end(body)
  }
  send(0)
}

function passThrough(answer: IncomingMessage, {response, isSilent}: Exchange): void {
  response.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders()
  answer.on('data', (chunk: Buffer) => isSilent() || response.write(chunk))
  answer.on('end', () => isSilent() || response.end())
  answer.on('error', () => isSilent() || response.destroy())
}

function truncate(answer: IncomingMessage, {response}: Exchange): void {
  const {'transfer-encoding': _chunked, ...headers} = answer.headers
  void readBody(answer).then((whole = Buffer.alloc(0)) => {
    response.writeHead(answer.statusCode ?? 502, {...headers, 'content-length': whole.length})
    response.write(whole.subarray(0, whole.length / 2), () => response.destroy())
  })
}

function drain(answer: IncomingMessage, then: () => void): void {
  answer.resume()
  answer.on('end', then)
}

/** Undefined if the connection broke before the end. */
async function readBody(incoming: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
  } catch {
    return undefined
  }

  return Buffer.concat(chunks)
}
