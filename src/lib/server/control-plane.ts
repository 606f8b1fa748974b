import {getRequestListener} from '@hono/node-server'
import {once} from 'node:events'
import {createServer, type Server} from 'node:http'
import type {AddressInfo} from 'node:net'
import {systemClock, type Clock} from '../core/clock.ts'
import {configError, errorCode, ExpectedError} from '../core/errors.ts'
import {limits} from '../protocol/limits.ts'
import {createApp} from './app.ts'
import type {AuthMode, Token} from './auth.ts'
import {Database} from '../core/database.ts'
import {Plane, type Timings} from './plane.ts'
import {migrations} from './schema.ts'

export type ControlPlaneOptions = {
  host: string
  /** 0 means any. */
  port: number
  /** A file, or `:memory:`. */
  database: string
  tokens?: readonly Token[]
  /** Default: `required` where there are tokens, else `off`. */
  auth?: AuthMode
  clock?: Clock
  log?: (line: string) => void
  version?: string
  timings?: Partial<Timings>
  /** Hold the database alone: a second plane on it fails with DATABASE_LOCKED. */
  exclusive?: boolean
}

export type ControlPlane = AsyncDisposable & {url: string; host: string; port: number; close(): Promise<void>}

const defaultTimings: Timings = {
  keepAliveMs: limits.keepAlive,
  leaseMs: limits.lease,
  offerMs: limits.offer,
  silentWorkerMs: limits.silentWorker,
  lostTimeoutMs: 24 * 3_600_000,
}

/**
 * Starts a control plane. Throws ExpectedError: the port is taken (75), the database is locked (75), cannot be
 * written (73) or read (78), or an address that others can reach would be open to them without a token (78).
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const {host, tokens = [], auth = tokens.length > 0 ? 'required' : 'off'} = options
  refuseOpenAddress(host, auth, tokens)
  const db = await Database.open({file: options.database, migrations, exclusive: options.exclusive ?? false})
  const plane = new Plane(db, options.clock ?? systemClock, {...defaultTimings, ...options.timings})
  const log = options.log ?? (() => {})
  const app = createApp({plane, tokens, auth, log, version: options.version ?? '0'})
  const server = createServer(getRequestListener(app.fetch, {overrideGlobalObjects: false}))
  const close = async () => {
    plane[Symbol.dispose]()
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
    db[Symbol.dispose]()
  }

  try {
    await listen(server, host, options.port)
  } catch (error) {
    plane[Symbol.dispose]()
    db[Symbol.dispose]()
    throw error
  }

  const {port} = server.address() as AddressInfo
  let closing: Promise<void> | undefined
  const closeOnce = () => (closing ??= close())
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    host,
    port,
    close: closeOnce,
    [Symbol.asyncDispose]: closeOnce,
  }
}

export const isLoopback = (host: string) => host === 'localhost' || host === '::1' || host.startsWith('127.')

function refuseOpenAddress(host: string, auth: AuthMode, tokens: readonly Token[]): void {
  if (auth !== 'off' && tokens.length === 0)
    throw configError(
      `Authentication is ${auth}, but there are no tokens.`,
      'Set A2A_AUTH_TOKENS=name:token, or --auth off.',
    )
  if (isLoopback(host) || auth === 'required' || (auth === 'stream-only' && tokens.length > 0)) return
  throw configError(
    `Refusing to listen on ${host} without tokens: whoever can create a task runs code on the workers.`,
    'Set A2A_AUTH_TOKENS=name:token, or listen on 127.0.0.1.',
  )
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    const code = errorCode(error)
    if (code === 'EADDRINUSE')
      throw new ExpectedError(`Port ${port} on ${host} is in use.`, {
        code: 'PORT_IN_USE',
        exit: 'temporary',
        suggestions: ['Give another with --port, or stop what listens there.'],
        cause: error,
      })
    throw configError(
      `Cannot listen on ${host}:${port}: ${code ?? String(error)}.`,
      'Check --host and --port.',
    ).because(error)
  }
}
