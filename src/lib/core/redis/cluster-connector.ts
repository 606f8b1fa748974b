import {connect as connectPlainly} from 'node:net'
import {connect as connectSecurely} from 'node:tls'
import type {AbstractConnector, RedisOptions} from 'ioredis'
import {findClusterNode, type ClusterSearch} from './cluster-node.ts'

type Base = typeof AbstractConnector

/**
 * Makes a connector of ioredis that connects to the node of a Cluster that has a key, and looks for that node again each
 * time. All our keys are in one slot, so this is a connection like that to one server, by the same rules: nothing is
 * queued, redirected or sent again.
 */
export function clusterConnector(Connector: Base, search: ClusterSearch): NonNullable<RedisOptions['Connector']> {
  return class ClusterConnector extends Connector {
    readonly #options: RedisOptions
    #rounds = 0

    constructor(options: unknown) {
      super(answeredMs)
      this.#options = options as RedisOptions
    }

    /** Rejects only if the retry strategy ends it: ioredis would not try again. */
    override async connect(onError: (type: string, error: Error) => void) {
      this.connecting = true
      const {retryStrategy, tls} = this.#options
      for (;;) {
        try {
          const node = await findClusterNode(search)
          if (!this.connecting) throw new Error('Connection is closed.')
          this.#rounds = 0
          this.stream = tls ? connectSecurely({...node, ...tls}) : connectPlainly(node)
          this.stream.once('error', (error: Error) => (this.firstError = error))
          return this.stream
        } catch (error) {
          const delay = this.connecting ? retryStrategy?.((this.#rounds += 1)) : undefined
          if (typeof delay !== 'number') throw error
          onError('error', error as Error)
          await new Promise((resolve) => setTimeout(resolve, delay))
        }
      }
    }
  }
}

/** How long a socket has to close, in ms. */
const answeredMs = 2000
