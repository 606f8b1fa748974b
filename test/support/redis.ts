import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {createServer, type AddressInfo} from 'node:net'
import {until} from './scratch.ts'

export type RedisServer = AsyncDisposable & {
  url: string
  port: number
  process: ChildProcess
  /** Kills it, and starts it again on the same port. */
  stop(): Promise<void>
  start(): Promise<void>
}

/**
 * `saves`: where it keeps its data, and how often it syncs that. Otherwise it keeps nothing. `more`: arguments of
 * redis-server.
 */
export type RedisOptions = {
  more?: readonly string[]
  /** It is a Sentinel with this configuration, which it changes. */
  sentinelFile?: string
  password?: string
  tls?: {cert: string; key: string}
  saves?: {folder: string; appendfsync: 'always' | 'everysec'}
}

/** A real redis-server on a free port of loopback. It is ended when disposed. */
export async function startRedis({
  password,
  tls,
  saves,
  more = [],
  sentinelFile,
}: RedisOptions = {}): Promise<RedisServer> {
  const port = await freePort()
  const secure = tls && ['--tls-cert-file', tls.cert, '--tls-key-file', tls.key, '--tls-auth-clients', 'no']
  const ports = secure ? ['--port', '0', '--tls-port', String(port), ...secure] : ['--port', String(port)]
  const kept = saves
    ? ['--dir', saves.folder, '--appendonly', 'yes', '--appendfsync', saves.appendfsync]
    : ['--appendonly', 'no']
  const data = ['--bind', '127.0.0.1', '--save', '', ...kept, ...more]
  const args = sentinelFile === undefined ? [...ports, ...data] : [sentinelFile, '--sentinel', ...ports]
  const launch = async () => {
    let output = ''
    const begin = () => {
      output = ''
      const child = spawn('redis-server', [...args, ...(password ? ['--requirepass', password] : [])], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      child.stdout.on('data', (chunk: Buffer) => (output += String(chunk)))
      return child
    }
    let child = begin()
    await until(
      () => {
        // While nobody listens on the port, the connection of another process may occupy it.
        if (child.exitCode !== null) child = begin()
        return /Ready to accept connections|\+monitor master/.test(output)
      },
      () => `redis-server to start: ${output}`,
    )
    return child
  }
  const redis: RedisServer = {
    url: `${tls ? 'rediss' : 'redis'}://${password ? `:${password}@` : ''}127.0.0.1:${port}`,
    port,
    process: await launch(),
    async stop() {
      if (redis.process.exitCode !== null || redis.process.signalCode !== null) return
      const exited = once(redis.process, 'exit')
      redis.process.kill('SIGKILL')
      await exited
    },
    async start() {
      redis.process = await launch()
    },
    [Symbol.asyncDispose]: () => redis.stop(),
  }
  return redis
}

/** A port that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const {port} = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  // The nodes of a Cluster also listen 10,000 ports higher, and do not start where there is none.
  return port + 10_000 < 65_536 ? port : await freePort()
}
