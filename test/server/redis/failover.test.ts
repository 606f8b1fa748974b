import {Redis} from 'ioredis'
import {expect, test} from 'vitest'
import {listenToBroker} from '../../../src/lib/client/task-broker.ts'
import {connectRedis} from '../../../src/lib/server/redis/connection.ts'
import {startRedis, freePort} from '../../support/redis.ts'
import {startCluster, startSentinel} from '../../support/redis-groups.ts'
import {sharedState} from '../../support/shared-state.ts'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {until as waitFor} from '../../support/scratch.ts'
import {startPlane, until} from '../support/plane.ts'

const features = ['lease', 'decline', 'fetch', 'assign']

async function work(api: Api) {
  await api.register('w', {features})
  return await api.codebase('w', '/srv/app')
}

/** Takes a failover's time. `npm run test:redis` runs these, too. */
const longer = test.runIf(process.env['A2A_TEST_REDIS'])

test('the state is kept in a Cluster of one node, whichever address is given, and a restarted control plane has it', async () => {
  await using cluster = await startCluster()
  const [node] = cluster.redis
  const first = await startPlane(sharedState(cluster.url, '{one}:'))
  const task = await new Api(first.url).create(await work(new Api(first.url)))
  await first.close()
  await using again = await startPlane(sharedState(`redis://127.0.0.1:${node?.port}`, '{one}:'))
  expect((await new Api(again.url).task(task.id)).status).toBe('pending')
})

longer('in a Cluster the node that has the keys is found, also after its replica has taken over', async () => {
  await using cluster = await startCluster(3, {replicasOf: [0]}) // the keys are in slot 2005
  const shared = sharedState(cluster.url, '{a2a-worker}:')
  await using plane = await startPlane(shared)
  const api = new Api(plane.url)
  const codebase = await work(api)
  await using stream = await openStream(api, 'w')
  const before = await api.create(codebase)
  await stream.pushed(before.id)

  const former = await masterOf(cluster.url)
  await cluster.redis.find((one) => one.port === former)?.stop()
  await waitFor(async () => ![undefined, former].includes(await masterOf(cluster.url)), 'the replica to take over')
  await waitFor(async () => (await api.get('tasks')).status === 200, 'the control plane')
  const after = await api.create('global')
  await using second = await startPlane(shared)
  for (const url of [plane.url, second.url])
    for (const {id} of [before, after]) expect((await new Api(url).task(id)).id).toBe(id)
  expect(stream.isEnded).toBe(false)
})

test('a failover by Sentinel is followed without a restart, and a task that was acknowledged stays', async () => {
  await using group = await startSentinel({password: 'secret'})
  const shared = sharedState(group.url, '{a2a-worker}:')
  await using plane = await startPlane(shared)
  await using second = await startPlane(shared)
  const api = new Api(plane.url)
  const codebase = await work(api)
  await using stream = await openStream(api, 'w')
  const before = await api.create(codebase)
  await stream.pushed(before.id)

  await group.failover()
  const isBack = () => [plane, second].every(({log}) => log.includes('Redis is back'))
  await waitFor(isBack, 'both to leave the former master, which takes writes for some seconds more', 3000)
  const isRight = async (url: string) => (await new Api(url).get('tasks')).status === 200
  await until(async () => (await isRight(plane.url)) && (await isRight(second.url)))
  const after = await api.create('global')
  for (const {id} of [before, after]) expect((await new Api(second.url).task(id)).id).toBe(id)
  expect(stream.isEnded).toBe(false)

  // the master dies, and the one that it has followed is asked again
  const master = await group.master()
  await follow(group, master)
  await group.redis.find(({port}) => port === master)?.stop()
  await waitFor(async () => (await group.master()) !== master, 'the other to be master')
  await waitFor(async () => (await isRight(plane.url)) && (await isRight(second.url)), 'the second failover')
  await api.create('global')
  expect((await api.get('tasks')).body).toHaveLength(3)
})

test('a Redis that follows another one is not read: requests get 503 until it is a master again', async () => {
  await using redis = await startRedis()
  await using plane = await startPlane(sharedState(redis.url, '{a2a-worker}:'))
  const api = new Api(plane.url)
  const task = await api.create(await work(api))
  const client = new Redis(redis.url)
  await client.replicaof('127.0.0.1', await freePort())
  const refused = await api.get('tasks')
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
  await client.replicaof('NO', 'ONE')
  client.disconnect()
  await until(async () => (await api.get('tasks')).status === 200)
  expect((await api.task(task.id)).status).toBe('pending')
})

longer('announcements go through a Cluster, and through the new master after a failover by Sentinel', async () => {
  await using cluster = await startCluster(2)
  await using group = await startSentinel({password: 'secret'})
  for (const {url, failover} of [{...cluster, failover: async () => {}}, group]) {
    await using plane = await startPlane({database: ':memory:', brokerUrl: url})
    const api = new Api(plane.url)
    const stop = new AbortController()
    const heard: string[] = []
    const states: boolean[] = []
    const listening = listenToBroker({
      ...{url, signal: stop.signal, onState: (isUp) => void states.push(isUp)},
      onNotice: ({taskId}) => void heard.push(taskId),
    })
    const isAnnounced = async () => {
      const {id} = await api.create('global')
      await new Promise((resolve) => setTimeout(resolve, 50))
      return heard.includes(id)
    }
    await work(api)
    await waitFor(isAnnounced, 'an announcement')
    await failover()
    await waitFor(isAnnounced, 'an announcement by the new master')
    stop.abort()
    await listening
    expect(states[0]).toBe(true)
  }
})

/** The port of the node that has the keys. */
async function masterOf(url: string): Promise<number | undefined> {
  const connections = await connectRedis(url, '{a2a-worker}:').catch(() => undefined) // nobody has them now
  const info = await connections?.commands.info('server').catch(() => '')
  connections?.close()
  return info ? Number(/^tcp_port:(\d+)/m.exec(info)?.[1]) : undefined
}

/** Makes the former master follow at once, so that it may take over. The Sentinel does so only some seconds later. */
async function follow(group: Awaited<ReturnType<typeof startSentinel>>, master: number): Promise<void> {
  const other = group.redis.find(({port}) => port !== master)
  const redis = new Redis(`redis://:secret@127.0.0.1:${other?.port}`)
  await redis.replicaof('127.0.0.1', master)
  await waitFor(async () => (await redis.info('replication')).includes('master_link_status:up'), 'the replica')
  redis.disconnect()
}

test('addresses of Sentinels and Clusters that do not fit get one line with cause and fix', async () => {
  await using group = await startSentinel()
  await using redis = await startRedis()
  await using cluster = await startCluster()
  const port = await freePort()
  const cases: [url: string, prefix: string, exitCode: number, text: string][] = [
    [group.url.replace('/main', '/other'), '{a}:', 78, 'watch no Redis of that name'],
    [`redis+sentinel://127.0.0.1:${port}/main`, '{a}:', 69, 'No Redis answers at redis+sentinel://127.0.0.1'],
    [`redis+cluster://127.0.0.1:${port}`, '{a}:', 69, 'No Redis answers at redis+cluster://127.0.0.1'],
    [`redis+cluster://127.0.0.1:${redis.port}`, '{a}:', 78, 'is no Cluster'],
    [cluster.url, 'plain:', 78, 'would spread the keys over a Redis Cluster'],
    ['redis+sentinel://127.0.0.1', '{a}:', 78, 'must name the Redis that the Sentinels watch'],
  ]
  for (const [url, prefix, exitCode, text] of cases) {
    const failure = await connectRedis(url, prefix).catch((error: unknown) => error)
    expect(failure, url).toMatchObject({exitCode, message: expect.stringContaining(text)})
  }
})
