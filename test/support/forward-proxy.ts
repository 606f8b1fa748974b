import {once} from 'node:events'
import {createServer, request, type IncomingMessage} from 'node:http'
import {connect, type AddressInfo, type Socket} from 'node:net'

export type ForwardProxy = AsyncDisposable & {
  /** With the credentials, if there are any. */
  url: string
  /** What was asked of it: `GET http://host/path`, or `CONNECT host:port`. */
  requests: string[]
}

/**
 * A proxy as companies have one. It forwards plain HTTP and opens tunnels for the rest. Every host name means this
 * machine, so a test can use names that only the proxy can resolve. `login`: `user:password` in the form of a URL.
 */
export async function startForwardProxy({login}: {login?: string} = {}): Promise<ForwardProxy> {
  const requests: string[] = []
  const wanted = login && `Basic ${Buffer.from(decodeURIComponent(login)).toString('base64')}`
  const mayPass = ({headers}: IncomingMessage) => wanted === undefined || headers['proxy-authorization'] === wanted
  const sockets = new Set<Socket>()
  const server = createServer((incoming, response) => {
    requests.push(`${incoming.method} ${incoming.url}`)
    if (!mayPass(incoming)) return response.writeHead(407, {'proxy-authenticate': 'Basic'}).end('<html>login</html>')
    const {port, pathname, search} = new URL(incoming.url ?? '')
    const {'proxy-authorization': _, ...headers} = incoming.headers
    const {method} = incoming
    const onward = request({host: '127.0.0.1', port, path: pathname + search, method, headers}, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers).flushHeaders()
      answer.pipe(response)
      answer.on('error', () => response.destroy())
    })
    onward.on('error', () => response.writeHead(502, {'content-type': 'text/html'}).end('<html>no route</html>'))
    response.on('close', () => onward.destroy())
    return incoming.pipe(onward)
  })
  server.on('connect', (incoming: IncomingMessage, socket: Socket) => {
    requests.push(`CONNECT ${incoming.url}`)
    socket.on('error', () => {})
    if (!mayPass(incoming)) return socket.end('HTTP/1.1 407 Login\r\nproxy-authenticate: Basic\r\n\r\n')
    const target = connect(Number(incoming.url?.split(':').at(-1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(target).pipe(socket)
    })
    sockets.add(target).add(socket)
    socket.on('close', () => target.destroy())
    return target.on('error', () => socket.end('HTTP/1.1 502 No route\r\n\r\n'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const {port} = server.address() as AddressInfo
  return {
    url: `http://${login ? `${login}@` : ''}127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
