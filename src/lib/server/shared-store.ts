import {hostname} from 'node:os'
import {randomUUID} from 'node:crypto'
import {messageOf} from '../core/errors.ts'
import {fullJitter, loop} from '../core/loop.ts'
import type {OpenedStore} from './single-store.ts'
import type {Plane} from './plane/plane.ts'
import {hideReplica, showReplica} from './redis/owner.ts'
import {RedisStore, type RedisStoreOptions} from './redis/redis-store.ts'
import {connect, disconnect} from './rules/registry/connections.ts'
import {all} from './state/records.ts'
import type {Hub} from './streams/hub.ts'

/** How often a replica shows that it runs, and looks for streams of others that have ended. */
const showMs = 3000

type Parts = {plane: Plane; hub: Hub}

/** Opens the state of many control planes in Redis. Rejects with ExpectedError (78, 69): see `RedisStore.open`. */
export async function openSharedStore(options: RedisStoreOptions): Promise<OpenedStore> {
  const {log, version} = options
  const store = await RedisStore.open(options)
  const {persistence, database, file, clock} = store
  for (const {level, text} of persistence.lines) log(text, level)
  const replica = randomUUID().slice(0, 8)
  const stop = new AbortController()
  const missing = new Missing()
  const who = `${replica} ${hostname()} (pid ${process.pid}, ${version})`
  let presence: Promise<void> | undefined
  return {
    ...{database, file, former: 0, clock, replica},
    open: (policy, hooks) => store.start(policy, hooks),
    complete(parts) {
      const step = () => show(store, who, {replica, missing, ...parts})
      const onFailure = ({error}: {error: unknown}) => {
        if (store.isConnected) log(`the streams of replicas could not be compared: ${messageOf(error)}`, 'warn')
      }
      const delay = fullJitter(200, showMs)
      store.onBack = () => void step().catch((error: unknown) => onFailure({error}))
      presence = loop(step, {signal: stop.signal, clock, interval: showMs, delay, onFailure})
    },
    async close() {
      stop.abort()
      await presence
      await hideReplica(store.connections.commands, store.prefix, who).catch(() => {}) // that shows soon by itself
      await store[Symbol.asyncDispose]()
    },
  }
}

/** Shows that this replica runs. Corrects what the state says of streams: its own, and those of replicas that have ended. */
async function show(
  {connections: {commands}, prefix, clock}: RedisStore,
  who: string,
  {replica, missing, plane, hub}: Parts & {replica: string; missing: Missing},
): Promise<void> {
  await plane.fresh() // a Redis that was emptied gets its state first
  const running = new Set(await showReplica(commands, prefix, who, clock.now()))
  for (const connection of [...plane.state.find('connections', all)]) {
    const {workerId, connectionId} = connection
    const isHere = hub.streamOf(workerId)?.connection.connectionId === connectionId
    const isOpen = connection.replica === replica ? isHere : !missing.isGone(connection.replica, running)
    if (!isOpen) await plane.run(disconnect, {workerId, connectionId})
  }

  for (const {connection, closed, close} of hub.streams()) {
    const known = plane.state.get('connection', connection.workerId)
    if (closed.aborted || known?.connectionId === connection.connectionId) continue
    if (known && known.connectedAt > connection.connectedAt)
      close() // the worker is elsewhere
    else await plane.run(connect, connection)
  }
}

/** Replicas that do not show themselves. Each may be about to: Redis may have lost its key. */
class Missing {
  readonly #since = new Map<string, number>()

  isGone(replica: string, running: ReadonlySet<string>): boolean {
    if (running.has(replica)) {
      this.#since.delete(replica)
      return false
    }

    const since = this.#since.get(replica) ?? performance.now()
    this.#since.set(replica, since)
    return performance.now() - since > showMs * 1.5
  }
}
