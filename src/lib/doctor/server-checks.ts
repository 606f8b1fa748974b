import {lookup} from 'node:dns/promises'
import type {Redis} from 'ioredis'
import {ControlPlaneClient} from '../client/control-plane.ts'
import {isUnauthorized} from '../client/http.ts'
import {nameOf} from '../client/network-problem.ts'
import {counted} from '../core/text/counted.ts'
import {ExpectedError, messageOf} from '../core/errors.ts'
import {isLoopback} from '../core/loopback.ts'
import {createRedis} from '../core/redis/create-redis.ts'
import {isClusterNode} from '../core/redis/cluster-node.ts'
import {clusterUrl, readRedisUrl} from '../core/redis/redis-address.ts'
import {tlsProblem} from '../core/tls.ts'
import {persistenceOf} from '../server/redis/persistence.ts'
import {ok, problem, skipped, warning, type Finding, type MachineContext, type ControlPlaneContext} from './finding.ts'

/** Allowed difference between the clocks. A larger one makes ages and expiry times wrong. */
const maxSkewMs = 60_000
/** After this many requests, each on its own connection, a load balancer has used all its replicas. */
const sampleCount = 6

/** Checks the way to the server hop by hop. Stops at the first failure, because it causes the following ones. */
export async function checkServer(
  {server}: MachineContext,
  client: ControlPlaneClient | undefined,
): Promise<Finding[]> {
  const check = 'server'
  if (server === null || !client)
    return [
      problem(
        check,
        'no control plane is configured, and none runs on this machine',
        'Set one: a2a-worker config set server_url https://…, or start one here: a2a-worker start',
      ),
    ]
  const {proxy} = client.http
  const way = proxy ? [ok('proxy', `requests go through ${nameOf(proxy)}`)] : []
  const unknown = proxy ? undefined : await findNameProblem(server) // a proxy resolves the name itself
  if (unknown) return [unknown]

  try {
    const startedAt = Date.now()
    const {version, date} = await client.healthWithDate()
    return [
      ...way,
      ok(check, `${server} answers${version ? `, version ${version}` : ''}`),
      ...checkClock(date, startedAt),
      ...(await checkToken(client)),
    ]
  } catch (error) {
    return [...way, unreachable(server, error)]
  }
}

async function findNameProblem(server: string): Promise<Finding | undefined> {
  const {hostname} = new URL(server)
  try {
    await lookup(hostname.replaceAll(/[[\]]/g, ''))
    return undefined
  } catch {
    return problem(
      'server',
      `the host name ${hostname} cannot be resolved`,
      `nslookup ${hostname}`,
      'Correct server_url.',
    )
  }
}

function unreachable(server: string, error: unknown): Finding {
  const message = messageOf(error)
  const fixes = error instanceof ExpectedError ? error.suggestions : []
  const code = error instanceof ExpectedError ? error.code : ''
  if (tlsProblem((error as Error).cause) !== undefined || code.startsWith('PROXY_') || code === 'LOCAL_PLANE_ENDED')
    return problem('server', message, ...fixes)
  const url = new URL(server)
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  // No firewall is between a machine and itself.
  const look = isLoopback(url.hostname) ? `ss -ltn | grep :${port}` : `sudo iptables -L -n | grep ${port}`
  return problem('server', message, ...fixes, `curl -I ${server}/v1/opencode/status`, look)
}

function checkClock(date: string | undefined, begun: number): Finding[] {
  const serverTime = date === undefined ? Number.NaN : Date.parse(date)
  const skew = Math.abs(serverTime - begun)
  if (Number.isNaN(skew)) return []
  if (skew <= maxSkewMs) return [ok('clock', 'agrees with the clock of the server')]
  const text = `differs by ${Math.round(skew / 1000)} s from the clock of the server`
  return [warning('clock', text, 'timedatectl set-ntp true')]
}

async function checkToken(client: ControlPlaneClient): Promise<Finding[]> {
  try {
    await client.workers()
    return [ok('token', 'the server accepts it, or requires none')]
  } catch (error) {
    if (!isUnauthorized(error)) throw error
    return [
      problem(
        'token',
        messageOf(error),
        'Set the right one: A2A_AUTH_TOKEN, or auth_token_file in the configuration (mode 0600).',
      ),
    ]
  }
}

/** Checks that the server lists workers, knows those of this machine, and gives the same lists each time. */
export async function checkLists(
  {server, local}: ControlPlaneContext,
  createClient: () => ControlPlaneClient,
): Promise<Finding[]> {
  const check = 'workers'
  const [workers, codebases] = await Promise.all([
    sampleList(createClient, async (client) => (await client.workers()).map((one) => one.worker_id)),
    sampleList(createClient, async (client) => (await client.codebases()).map(({id}) => id)),
  ])
  if (!isConsistent(workers) || !isConsistent(codebases))
    return [
      problem(
        check,
        `the lists of workers (${counts(workers)}) and codebases (${counts(codebases)}) change between requests: replicas without shared state`,
        'Set the same A2A_REDIS_URL for all replicas of the server (not for the worker).',
      ),
    ]
  const [known = []] = workers
  const ours = local.filter((worker) => worker.server === server)
  const unknown = ours.filter((worker) => !known.includes(worker.worker_id))
  if (unknown.length > 0)
    return [
      problem(
        check,
        `the server does not know the registered worker ${unknown[0]?.name}: the server has lost its state, or is another replica`,
        'Keep the database of the server on a persistent volume: OPENCODE_DB_PATH=/data/opencode.db.',
        'Register again: sudo systemctl restart a2a-agent-worker',
      ),
    ]
  if (known.length === 0)
    return [
      problem(
        check,
        'the server has no workers, so it answers “No workers available” to a registration by path',
        'Start the worker on the machine that has the code: sudo systemctl start a2a-agent-worker, or a2a-worker start.',
        `Check that the worker uses ${server}: systemctl cat a2a-agent-worker | grep A2A_SERVER_URL`,
      ),
    ]
  return [ok(check, `${counted(known.length, 'worker')}, ${counted(codebases[0]?.length ?? 0, 'codebase')}`)]
}

/** Fetches a list several times, so that a load balancer uses each of its replicas. */
async function sampleList(
  createClient: () => ControlPlaneClient,
  list: (client: ControlPlaneClient) => Promise<string[]>,
): Promise<string[][]> {
  const sample = async () => {
    await using client = createClient()
    return (await list(client)).sort()
  }
  return Promise.all(Array.from({length: sampleCount}, sample))
}

const isConsistent = (samples: readonly string[][]) => new Set(samples.map((sample) => sample.join(' '))).size === 1
const counts = (samples: readonly string[][]) => samples.map((sample) => sample.length).join(', ')

/** What the settings of a Redis mean that holds the state of control planes. Nothing if it holds none, or does not tell. */
async function checkState(redis: Redis, prefix: string): Promise<Finding[]> {
  try {
    if ((await redis.exists(`${prefix}owner`)) === 0) return []
    const {lines, problem: evicts} = await persistenceOf(redis)
    const found = lines.map(({level, text}) => (level === 'warn' ? warning('redis', text) : ok('redis', text)))
    return evicts === undefined ? found : [problem('redis', evicts, 'Set maxmemory-policy noeviction.'), ...found]
  } catch {
    return [] // this user may only subscribe
  }
}

/** Checks that the configured broker (Redis) can be reached. */
export async function checkBroker({config, env, ...machine}: MachineContext): Promise<Finding[]> {
  const check = 'broker'
  if (config.redis_url === undefined) return [skipped(check, 'not configured; tasks arrive by stream or polling')]
  const prefix = env['A2A_REDIS_PREFIX'] ?? '{a2a-worker}:'
  const redis = await createRedis(config.redis_url, {
    key: prefix,
    lazyConnect: true,
    enableReadyCheck: false, // it needs INFO, and the user may only be allowed to subscribe
    retryStrategy: null,
    connectTimeout: 5000,
  })
  let reason = ''
  redis.on('error', (error) => (reason = tlsProblem(error) ?? messageOf(error)))
  try {
    await redis.connect()
    await redis.ping()
    if (readRedisUrl(config.redis_url).kind === 'server' && (await isClusterNode(redis)))
      return await checkBroker({...machine, env, config: {...config, redis_url: clusterUrl(config.redis_url)}})
    return [ok(check, 'Redis answers'), ...(await checkState(redis, prefix))]
  } catch (error) {
    const fix = 'Tasks arrive without it, but later. Check redis_url and its password, and that Redis runs.'
    return [warning(check, `Redis cannot be used: ${reason || messageOf(error)}`, fix)]
  } finally {
    redis.disconnect()
  }
}
