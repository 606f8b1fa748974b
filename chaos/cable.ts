import {once} from 'node:events'
import {connect, createServer, type AddressInfo, type Socket} from 'node:net'

/** What is between a program and Redis: it can be cut, or swallow everything. */
export type Cable = AsyncDisposable & {
  url: string
  /** Connections stay open, and nothing is passed on. Ending that breaks them. */
  setBlackHole(isOn: boolean): void
  /** Breaks all connections. */
  cut(): void
}

export async function startCable(port: number): Promise<Cable> {
  let isBlackHole = false
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
    return socket
  }
  const server = createServer((near) => {
    const far = keep(connect(port, '127.0.0.1'))
    keep(near)
    near.on('data', (data) => isBlackHole || far.write(data)).on('close', () => far.destroy())
    far.on('data', (data) => isBlackHole || near.write(data)).on('close', () => near.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => sockets.forEach((socket) => socket.destroy())
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    setBlackHole(isOn) {
      if (isBlackHole && !isOn) cut()
      isBlackHole = isOn
    },
    async [Symbol.asyncDispose]() {
      server.close()
      cut()
      await once(server, 'close')
    },
  }
}
