import {once} from 'node:events'
import {createServer, request, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'

export type Proxy = AsyncDisposable & {
  url: string
  /** Method and path of each request, in order. */
  requests: string[]
  /** What happens to requests for these paths: passed on, refused with 403, or passed on without the answer's body. */
  rule: (path: string) => 'pass' | 'refuse' | 'silence'
  /** Breaks the connections that are open for these paths. */
  cut(path: RegExp): void
}

/** Stands between a worker and its server, as a company's proxy does, and does not let all of it through. */
export async function startProxy(target: string): Promise<Proxy> {
  const open = new Map<ServerResponse, string>()
  const server = createServer((incoming, response) => {
    const path = incoming.url ?? ''
    proxy.requests.push(`${incoming.method} ${path}`)
    open.set(response, path)
    response.on('close', () => open.delete(response))
    const rule = proxy.rule(path)
    if (rule === 'refuse') response.writeHead(403, {'content-type': 'text/html'}).end('<html>not here</html>')
    else forward(target, incoming, response, () => proxy.rule(path) === 'silence')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: Proxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    rule: () => 'pass',
    cut: (path) => {
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

function forward(target: string, incoming: IncomingMessage, response: ServerResponse, isSilent: () => boolean): void {
  const {method, headers} = incoming
  const onward = request(`${target}${incoming.url}`, {method, headers}, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders()
    answer.on('data', (chunk: Buffer) => isSilent() || response.write(chunk))
    answer.on('end', () => response.end())
    answer.on('error', () => response.destroy())
  })
  onward.on('error', () => response.destroy())
  response.on('close', () => onward.destroy())
  incoming.pipe(onward)
}
