import {afterAll, beforeAll, expect, test} from 'vitest'
import {migrate, openDatabase, type Database} from '../../../src/lib/core/sqlite.ts'
import {connectRedis, type Connections} from '../../../src/lib/server/redis/connection.ts'
import {DecisionLog} from '../../../src/lib/server/redis/decision-log.ts'
import {RedisClock} from '../../../src/lib/server/redis/redis-clock.ts'
import {RedisEngine} from '../../../src/lib/server/redis/redis-engine.ts'
import {auditTokens} from '../../../src/lib/server/refusal-audit.ts'
import {decide} from '../../../src/lib/server/state/draft.ts'
import type {Engine, Step} from '../../../src/lib/server/store/engine.ts'
import {migrations} from '../../../src/lib/server/store/migrations.ts'
import {startRedis, type RedisServer} from '../../support/redis.ts'
import {testEngine} from '../support/engine-contract.ts'
import {policy} from '../support/memory-engine.ts'

let redis: RedisServer
let connections: Connections
beforeAll(async () => {
  redis = await startRedis()
  connections = await connectRedis(redis.url, '{test}:')
})
afterAll(async () => {
  connections.close()
  await redis[Symbol.asyncDispose]()
})

const fail = (error: unknown) => {
  throw error
}

let prefixes = 0
let passed = 0

/** A replica with what is in Redis. */
async function replica(prefix: string): Promise<{engine: RedisEngine; database: Database}> {
  const database = await openDatabase(':memory:', {exclusive: true})
  migrate(database, ':memory:', migrations)
  const own = {monotonic: () => performance.now() + passed, sleep: async () => {}}
  const log = new DecisionLog(connections.commands, prefix)
  const isConnected = () => true
  const clock = new RedisClock(() => {}, own)
  const parts = {database, log, isConnected, isWorthWaiting: isConnected, policy, clock, calmUntil: () => 0}
  const told = {
    onBug: fail,
    onDiverged: fail,
    onHealed: fail,
    onRefused: fail,
    reseed: fail as never,
    history: {add: () => {}},
  }
  const engine = new RedisEngine({...parts, ...told})
  await engine.fresh()
  return {engine, database}
}

testEngine('the Redis engine', async () => {
  const prefix = `{test-${(prefixes += 1)}}:`
  const opened = [await replica(prefix)]
  return {
    engine: opened[0]?.engine as Engine,
    pass: (ms) => void (passed += ms),
    async restarted() {
      const next = await replica(prefix)
      opened.push(next)
      return next.engine
    },
    [Symbol.asyncDispose]: () => closeAll(opened),
  }
})

/** Two replicas as one engine: each call goes to the other one, and what is read is of the first. */
function together(first: RedisEngine, second: RedisEngine): Engine {
  let calls = 0
  let deciding: RedisEngine | undefined
  let last: Promise<unknown> = Promise.resolve()
  const execute = async <Answer>(one: RedisEngine, step: Step<Answer>): Promise<Answer> => {
    try {
      return await one.execute((maintenance) => {
        deciding = one
        try {
          return step(maintenance)
        } finally {
          deciding = undefined
        }
      })
    } finally {
      await first.fresh()
    }
  }
  const engine: Engine = {
    get state() {
      return (deciding ?? first).state
    },
    views: first.views,
    problem: undefined,
    calmUntil: 0,
    attach: (listener) => first.attach(listener),
    execute(step) {
      const one = (calls += 1) % 2 === 0 ? first : second
      const done = last.then(() => execute(one, step))
      last = done.catch(() => {})
      return done
    },
    maintain: (work) => second.maintain(work),
    fresh: async () => {
      await last
      await first.fresh()
    },
    durable: async () => void (await last),
  }
  return engine
}

testEngine('the Redis engine on two replicas', async () => {
  const prefix = `{test-${(prefixes += 1)}}:`
  const opened = await Promise.all([replica(prefix), replica(prefix)])
  const newest = () => {
    const [first, second] = opened.slice(-2).map(({engine}) => engine)
    return together(first as RedisEngine, second as RedisEngine)
  }
  return {
    engine: newest(),
    pass: (ms) => void (passed += ms),
    async restarted() {
      opened.push(await replica(prefix), await replica(prefix))
      return newest()
    },
    [Symbol.asyncDispose]: () => closeAll(opened),
  }
})

async function closeAll(opened: readonly Awaited<ReturnType<typeof replica>>[]): Promise<void> {
  for (const {engine, database} of opened) {
    await engine.close()
    database.close()
  }
}

test('replicas that commit all the time are all in time', async () => {
  const prefix = `{test-${(prefixes += 1)}}:`
  const opened = await Promise.all([replica(prefix), replica(prefix), replica(prefix)])
  const [first] = opened
  const register = (engine: RedisEngine, name: string) =>
    engine.execute(() => decide(engine.state, auditTokens, {detail: name}))
  const work = opened.flatMap(({engine}, i) =>
    Array.from({length: 10}, async (_, lane) => {
      for (let n = 0; n < 20; n++) await register(engine, `${i} ${lane} ${n}`)
    }),
  )
  await Promise.all(work)
  await first?.engine.fresh()
  const entries = first?.engine.views.audit.page({start: {after: 0}}, 1000).entries ?? []
  expect(new Set(entries.map(({detail}) => detail)).size).toBe(3 * 10 * 20)
  await closeAll(opened)
})
