import {once} from 'node:events'
import type {Server} from 'node:http'
import {configError, errorCode, ExpectedError, messageOf} from '../../core/errors.ts'
import {isLoopback} from '../../core/loopback.ts'
import type {AuthMode} from './auth.ts'

/** Anyone who can reach the control plane can run code on the workers' machines. Throws ExpectedError (78). */
export function checkExposure(host: string, tokens: readonly unknown[], auth: AuthMode): void {
  const suggestion = 'Set A2A_AUTH_TOKENS=name:token (`openssl rand -hex 24` makes a token), or listen on 127.0.0.1'
  if (auth !== 'off' && tokens.length === 0)
    throw configError(`authentication is ${auth}, but there are no tokens`, suggestion)
  if (isLoopback(host) || auth !== 'off') return
  throw configError(`${host} can be reached from other machines, and no token would be asked for`, suggestion)
}

/** Resolves when the server listens. Throws ExpectedError: port in use (75), address not usable (78). */
export async function listen(server: Server, host: string, port: number): Promise<void> {
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    if (errorCode(error) === 'EADDRINUSE')
      throw new ExpectedError(`port ${port} on ${host} is in use`, {
        code: 'PORT_IN_USE',
        exit: 'temporary',
        suggestions: ['Choose another one with --port, or --port 0 for any that is free'],
        cause: error,
      })
    throw configError(
      `cannot listen on ${host}:${port}: ${messageOf(error)}`,
      'Choose an address of this machine with --host and a port that you may use with --port',
    )
  }
}
