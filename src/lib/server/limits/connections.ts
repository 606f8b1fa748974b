import type {Server} from 'node:http'
import type {Socket} from 'node:net'

export type ConnectionLimits = {
  /** Connections with requests. Beyond it only the health checks are answered. */
  most: number
  /** Further connections, each for one short answer. More are closed at once. */
  spare: number
}

/** Within this time a surplus connection must have sent its request. */
const surplusMs = 2000
/** The memory of a process is limited, too. */
const mostEver = 16_384

/**
 * How many connections a process may have that may open so many files. The rest is for the database, the log and, in a
 * worker, its agents.
 */
export function connectionLimits(openFiles: number): ConnectionLimits {
  const reserve = Math.max(48, Math.floor(openFiles / 5))
  const all = Math.max(8, Math.min(openFiles - reserve, mostEver))
  const spare = Math.max(4, Math.floor(all / 8))
  return {most: all - spare, spare}
}

/**
 * Keeps a server reachable while others hold connections to it. A connection without a request is closed when there is
 * no room for a new one, the longest idle first. So only requests and streams use up the limit, and these need a token.
 */
export class Connections {
  readonly #limits: ConnectionLimits
  readonly #open = new Set<string>()
  /** Connections without a current request, the longest idle first. */
  readonly #idle = new Map<string, Socket>()
  /** Connections beyond the limit, oldest first. */
  readonly #surplus = new Map<string, Socket>()
  readonly #onDropped: (address: string) => void

  constructor(limits: ConnectionLimits, onDropped: (address: string) => void) {
    this.#limits = limits
    this.#onDropped = onDropped
  }

  watch(server: Server): void {
    server.maxConnections = this.#limits.most + this.#limits.spare
    server.on('connection', (socket: Socket) => this.#add(socket))
    server.prependListener('request', ({socket}, response) => {
      const key = keyOf(socket)
      this.#idle.delete(key)
      response.once('close', () => {
        if (this.#open.has(key) && !this.#surplus.has(key)) this.#idle.set(key, socket)
      })
    })
    server.on('drop', (data) => this.#onDropped(data?.remoteAddress ?? 'unknown'))
  }

  /** Whether there is no room for this connection. */
  isSurplus(socket: Socket): boolean {
    return this.#surplus.has(keyOf(socket))
  }

  get size(): number {
    return this.#open.size
  }

  #add(socket: Socket): void {
    const key = keyOf(socket)
    if (this.#open.size - this.#surplus.size >= this.#limits.most) this.#makeRoom()
    this.#open.add(key)
    socket.once('close', () => {
      this.#open.delete(key)
      this.#idle.delete(key)
      this.#surplus.delete(key)
    })
    if (this.#open.size - this.#surplus.size <= this.#limits.most) return void this.#idle.set(key, socket)
    this.#surplus.set(key, socket)
    const [first] = this.#surplus.values()
    if (this.#surplus.size > this.#limits.spare / 2) first?.destroy()
    const timer = setTimeout(() => socket.destroy(), surplusMs)
    socket.once('close', () => clearTimeout(timer))
  }

  #makeRoom(): void {
    const [oldest] = this.#idle
    if (!oldest) return
    const [key, socket] = oldest
    this.#idle.delete(key)
    socket.destroy()
    this.#open.delete(key) // its event comes later
  }
}

/** With TLS, a connection has two sockets. Both have the same peer. */
const keyOf = ({remoteAddress = '', remotePort = 0}: Socket) => `${remoteAddress} ${remotePort}`
