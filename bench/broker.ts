// The time from a message on Redis to the claim of its task, for a worker without a stream. The floor is a bare
// subscriber that reads and claims the task with two requests. Both use a proxy that records the time of the claim.
import {fork} from 'node:child_process'
import {once} from 'node:events'
import http from 'node:http'
import {Redis} from 'ioredis'
import {brokerChannels, brokerTypes} from '../src/lib/protocol/broker.ts'
import {startProxy, type Proxy} from '../test/support/proxy.ts'
import {startRedis} from '../test/support/redis.ts'
import {startCommitFloor} from './commit-floor.ts'
import {buildAgent, caller, environment, median, report, scratchFolder, sleep, startProgram, until} from './support.ts'

const channel = brokerChannels.of(brokerTypes.available)
const bareChannel = 'bench'
if (process.argv[2] === 'subscriber') subscribe(process.argv[3] ?? '', process.argv[4] ?? '')
else await compare(Number(process.env['TASKS'] ?? 100))

function subscribe(redisUrl: string, server: string): void {
  const agent = new http.Agent({keepAlive: true})
  const ask = (method: string, path: string) =>
    new Promise((resolve, reject) => {
      const request = http.request(server + path, {method, agent}, (answer) => answer.resume().on('end', resolve))
      request.on('error', reject).end(method === 'POST' ? '{"task_id":"t"}' : undefined)
    })
  const redis = new Redis(redisUrl)
  redis.on('message', () => void ask('GET', '/task').then(() => ask('POST', '/claim')))
  void redis.subscribe(bareChannel).then(() => process.send?.('up'))
}

/** Records the time of each claim. */
function watchClaims(proxy: Proxy) {
  const seen = {claimed: 0}
  proxy.rule = (path) => {
    if (path.includes('/claim')) seen.claimed = performance.now()
    return path.includes('/tasks/stream') ? 'refuse' : 'pass'
  }
  return seen
}

async function compare(tasks: number): Promise<void> {
  using scratch = scratchFolder()
  await using redis = await startRedis()
  const env = environment(scratch.path, buildAgent(scratch.path))
  await using plane = startProgram(['serve', '--port', '0'], env, scratch.path)
  const url = await until(() => plane.stdout().trim(), 'the control plane')
  await using proxy = await startProxy(url)
  const workerClaims = watchClaims(proxy)
  const flags = ['--server', proxy.url, '--codebase', scratch.path, '--redis-url', redis.url, '--poll-interval', '3600']
  await using _worker = startProgram(['start', ...flags], env, scratch.path)
  const call = caller(url)
  const codebase = await until(async () => {
    const all = (await call('GET', '/v1/opencode/codebases')) as {id: string}[]
    return all[0]?.id
  }, 'the codebase')

  await using bare = await startCommitFloor(scratch.path)
  await using bareProxy = await startProxy(bare.url)
  const bareClaims = watchClaims(bareProxy)
  const subscriber = fork(import.meta.filename, ['subscriber', redis.url, bareProxy.url])
  await once(subscriber, 'message')

  const publisher = new Redis(redis.url)
  const seen = {ours: [] as number[], theirs: [] as number[]}
  await until(async () => Number(await publisher.publish(channel, '{}')) === 1, 'the worker to listen')
  await sleep(500)
  for (let i = 0; i < tasks; i++) {
    const body = {title: 't', prompt: '@ms=1', agent_type: 'noop'}
    const {task} = (await call('POST', `/v1/opencode/codebases/${codebase}/tasks`, body)) as {task: {id: string}}
    const data = {id: task.id, codebase_id: codebase}
    let began = performance.now()
    await publisher.publish(channel, JSON.stringify({type: brokerTypes.available, data}))
    const status = async () => ((await call('GET', `/v1/opencode/tasks/${task.id}`)) as {status: string}).status
    await until(async () => (await status()) === 'completed', 'the task to be done')
    seen.ours.push(workerClaims.claimed - began)

    bareClaims.claimed = 0
    began = performance.now()
    await publisher.publish(bareChannel, '{}')
    await until(() => bareClaims.claimed > 0, 'the bare claim')
    await sleep(20)
    seen.theirs.push(bareClaims.claimed - began)
  }

  publisher.disconnect()
  subscriber.kill('SIGKILL')
  report('announced on Redis → claimed', median(seen.ours), median(seen.theirs), 'ms', '≤ 3')
}
