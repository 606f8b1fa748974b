import {configError} from '../core/errors.ts'
import {isLoopback, isPrivateHost} from '../core/loopback.ts'
import type {Environment} from './file.ts'
import {hasServerWorker} from './identity.ts'
import type {Resolved} from './resolve.ts'
import {envNames} from './settings.ts'

/** How far a request without TLS can be read: nowhere else, in a private network, or anywhere on its way. */
export type Exposure = 'none' | 'private' | 'public'

export function exposureOf(server: string): Exposure {
  const {protocol, hostname} = new URL(server)
  if (protocol !== 'http:' || isLoopback(hostname)) return 'none'
  return isPrivateHost(hostname) ? 'private' : 'public'
}

/** What others can read on the way to this server. */
export const exposureText = (server: string) =>
  `${server} is not encrypted: others on the network can read token, prompts and output`

/** Throws ExpectedError (78) if a token would be sent to a public address without encryption. */
export function refusePlainHttp(server: string): void {
  if (exposureOf(server) !== 'public') return
  throw configError(
    `${server} is a public address without encryption. Anybody on the way could read the token, and use it.`,
    'Use https://. For the control plane: `a2a-worker serve --tls-cert FILE --tls-key FILE`, or a proxy with a certificate.',
    'If the way is safe, for example in a VPN, add --insecure, or set insecure to true.',
  )
}

/**
 * A set-up is new if the server comes from the command line or a variable of the shell, and no worker of this state
 * directory has worked for a server yet. A server in a configuration file or in a unit was chosen before.
 */
export function isNewSetup({sources}: Pick<Resolved, 'sources'>, env: Environment, stateDir: string): boolean {
  const source = sources.server_url
  const isGivenNow = source.startsWith('--') || (envNames('server_url').includes(source) && Boolean(env[source]))
  const isService = Boolean(env['NOTIFY_SOCKET'])
  return isGivenNow && !isService && !hasServerWorker(stateDir)
}
