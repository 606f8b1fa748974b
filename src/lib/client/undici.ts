/**
 * The two modules of undici that are used. Importing undici itself loads everything (fetch, mocks, caches, proxies,
 * WebSockets): 14 MB in a daemon, and 50 ms at each start of a command. The paths are internal, so the version is pinned.
 */
import type {Agent as AgentClass, Dispatcher} from 'undici'
// @ts-expect-error -- inner modules have no types of their own; those of the front door are given below
import AgentModule from 'undici/lib/dispatcher/agent.js'
// @ts-expect-error -- as above
import requestModule from 'undici/lib/api/api-request.js'

export const Agent = AgentModule as typeof AgentClass

/** As undici's `request`, through the given dispatcher. */
export const request = (dispatcher: Dispatcher, options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> =>
  (requestModule as Dispatcher['request']).call(dispatcher, options) as Promise<Dispatcher.ResponseData>
