/**
 * The modules of undici that are used. Importing undici itself loads everything (fetch, mocks, caches, proxies,
 * WebSockets): 14 MB in a daemon, and 50 ms at each start of a command. The paths are internal, so the version is pinned.
 */
import {createRequire} from 'node:module'
import type {Agent as AgentClass, Dispatcher, errors, Pool as PoolClass, ProxyAgent as ProxyAgentClass} from 'undici'
// @ts-expect-error -- inner modules have no types of their own; those of the front door are given below
import AgentModule from 'undici/lib/dispatcher/agent.js'
// @ts-expect-error -- as above
import requestModule from 'undici/lib/api/api-request.js'
// @ts-expect-error -- as above
import errorsModule from 'undici/lib/core/errors.js'

export const Agent = AgentModule as typeof AgentClass

/** An answer has stalled. */
export const {BodyTimeoutError} = errorsModule as typeof errors

/** As undici's `request`, through the given dispatcher. */
export const request = (dispatcher: Dispatcher, options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> =>
  (requestModule as Dispatcher['request']).call(dispatcher, options) as Promise<Dispatcher.ResponseData>

const require = createRequire(import.meta.url)

/** As undici's `ProxyAgent`. Its modules are loaded only here, because few use a proxy. */
export function createProxyAgent(options: ProxyAgentClass.Options): Dispatcher {
  const ProxyAgent = require('undici/lib/dispatcher/proxy-agent.js') as typeof ProxyAgentClass
  const Pool = require('undici/lib/dispatcher/pool.js') as typeof PoolClass
  const connect = require('undici/lib/api/api-connect.js') as Dispatcher['connect']
  // The front door of undici adds `connect` to all dispatchers. Only the connections to the proxy need it.
  const clientFactory = (origin: URL, pool: object) => Object.assign(new Pool(origin, pool), {connect})
  return new ProxyAgent({...options, clientFactory})
}
