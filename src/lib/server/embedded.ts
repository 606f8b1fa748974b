import {randomBytes} from 'node:crypto'
import {join} from 'node:path'
import {readLocalControlPlane, writeLocalControlPlane, type LocalControlPlane} from '../config/local-control-plane.ts'
import {makePrivateDirectory} from '../config/state-directory.ts'
import type {Clock} from '../core/clock.ts'
import {ExpectedError} from '../core/errors.ts'
import {startControlPlane, type ControlPlane} from './control-plane.ts'

export type EmbeddedOptions = {
  stateDir: string
  /** Version of the program, for clients. */
  version: string
  clock: Clock
  log: (line: string) => void
  /** Ends the wait for a control plane to take over. A hosted one is closed by disposing. */
  signal: AbortSignal
}

export type EmbeddedPlane = AsyncDisposable & {url: string; token: string; isHost(): boolean}

export const defaultPort = 7420
const portTries = 50
const takeOverMs = 1000

/**
 * The control plane of this machine, for workers without a configured server. This process hosts it, or joins the one
 * that another process hosts. When the host ends, another process takes over with the same port, database and token.
 * The host is the process with the operating system's lock on the database. Throws ExpectedError (73, 75).
 */
export async function embedPlane(options: EmbeddedOptions): Promise<EmbeddedPlane> {
  makePrivateDirectory(options.stateDir)
  let hosted = await tryHost(options)
  const known = hosted?.address ?? (await waitForAddress(options))
  const watching = hosted ? Promise.resolve() : takeOverWhenFree(options, (plane) => (hosted = plane))
  return {
    url: known.url,
    token: known.token,
    isHost: () => hosted !== undefined,
    async [Symbol.asyncDispose]() {
      await watching
      await hosted?.plane.close()
    },
  }
}

type Hosted = {plane: ControlPlane; address: LocalControlPlane}

async function takeOverWhenFree(options: EmbeddedOptions, onHost: (hosted: Hosted) => void): Promise<void> {
  const {clock, signal, log} = options
  while (!signal.aborted) {
    await clock.sleep(takeOverMs * (0.5 + Math.random()), signal)
    if (signal.aborted) return
    const hosted = await tryHost(options).catch(() => undefined)
    if (!hosted) continue
    log(`Took over the control plane of this machine at ${hosted.address.url}`)
    return onHost(hosted)
  }
}

/** Resolves with undefined if another process is the host. */
async function tryHost({stateDir, version, log, clock}: EmbeddedOptions): Promise<Hosted | undefined> {
  const known = readLocalControlPlane(stateDir)
  const token = known?.token ?? randomBytes(24).toString('base64url')
  for (let offset = 0; ; offset++) {
    const port = offset === 0 && known ? known.port : defaultPort + offset
    try {
      const plane = await startControlPlane({
        host: '127.0.0.1',
        port,
        database: join(stateDir, 'control-plane.db'),
        tokens: [{name: 'local', token, scope: 'admin'}],
        localToken: token,
        // only this user's programs have the token, and none of them is to be slowed down
        maxRequests: 0,
        maxStreams: Number.POSITIVE_INFINITY,
        exclusive: true,
        version,
        // the worker logs itself what happens to tasks and workers
        log: (line, _level, about) => (about ? undefined : log(line)),
        clock,
      })
      const address = {url: plane.url, port: plane.port, token}
      writeLocalControlPlane(stateDir, address)
      return {plane, address}
    } catch (error) {
      const code = error instanceof ExpectedError ? error.code : undefined
      if (code === 'DATABASE_LOCKED') return undefined
      if (code !== 'PORT_IN_USE' || offset >= portTries) throw error
    }
  }
}

/** The host has the lock before it has a port, so its address appears a moment later. */
async function waitForAddress({stateDir, clock, signal}: EmbeddedOptions): Promise<LocalControlPlane> {
  for (let tries = 0; tries < 100 && !signal.aborted; tries++) {
    const known = readLocalControlPlane(stateDir)
    if (known) return known
    await clock.sleep(50, signal)
  }

  throw new ExpectedError(`The control plane of this machine does not come up (state in ${stateDir}).`, {
    code: 'PLANE_NOT_UP',
    exit: 'temporary',
    suggestions: ['Try again, or name a server with --server.'],
  })
}
