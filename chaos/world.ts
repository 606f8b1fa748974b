import {spawnSync} from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {ProcessIdentity} from '../src/lib/executor/processes/processes.ts'
import {isAlive} from '../src/lib/executor/processes/processes.ts'
import {startRedis, freePort, type RedisServer} from '../test/support/redis.ts'
import {openCode, startModel} from '../test/support/scripted-model.ts'
import {repository} from '../test/support/scratch.ts'
import {startFaultProxy, type FaultProxy} from './fault-proxy.ts'
import {startCable, type Cable} from './cable.ts'
import {SupervisedProcess} from './supervised-process.ts'
import {planeClient, type PlaneClient} from './plane-client.ts'
import type {Random} from './random.ts'

export type Worker = {
  process: SupervisedProcess
  proxy: FaultProxy
  /** The working trees that it serves. */
  paths: string[]
  /** Its agent is the real OpenCode. */
  isReal: boolean
}

export type World = {
  folder: string
  records: string
  /** The unusual number of seconds that orphans of agents sleep, by which they are found. */
  token: string
  /** Control planes. Several share their state in Redis. */
  planes: SupervisedProcess[]
  /** What is between each of several control planes and Redis. */
  cables: Cable[]
  client: PlaneClient
  workers: Worker[]
  redis: RedisServer
  /** Private file systems that can be filled: the first worker's state and the control plane's database. */
  disks: {name: string; path: string}[]
  [Symbol.asyncDispose](): Promise<void>
}

const root = join(import.meta.dirname, '..')
const program = join(root, 'bin/run.js')
const diskSize = '2g'

export type WorldOptions = {
  withReal: boolean
  /** The user that agents run as, if it is another one. */
  agentUser?: string | undefined
  /** How many control planes share their state in Redis. 0: one, with a database. */
  replicas: number
  appendfsync: 'always' | 'everysec'
}

/** Starts a control plane, Redis and the workers, each worker behind its own proxy. */
export async function startWorld(random: Random, options: WorldOptions): Promise<World> {
  const {withReal, agentUser, replicas, appendfsync} = options
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'a2a-chaos-')))
  const records = join(folder, 'records')
  for (const name of ['records', 'home', 'plane', 'redis', 'log']) mkdirSync(join(folder, name))
  const token = `86400.${process.pid}${String(Date.now()).slice(-6)}` // unique for each run, also with the same seed
  const saves = {folder: join(folder, 'redis'), appendfsync}
  const redis = await startRedis(replicas > 0 ? {saves} : {})
  const model = withReal ? await startModel() : undefined
  const disks = [...(replicas > 0 ? [] : ['plane']), 'state-w1']
    .map((name) => ({name, path: join(folder, name)}))
    .filter(mount)
  const setup = {folder, random, redis, records, token, agentUser}
  if (agentUser !== undefined)
    for (const [path, mode] of [
      [folder, 0o755],
      [records, 0o777],
    ] as const)
      chmodSync(path, mode)
  const planes: SupervisedProcess[] = []
  const cables: Cable[] = []
  const urls: string[] = []
  for (let i = 0; i < Math.max(1, replicas); i++) {
    const port = await freePort()
    urls.push(`http://127.0.0.1:${port}`)
    const cable = replicas > 0 ? await startCable(redis.port) : undefined
    if (cable) cables.push(cable)
    planes.push(startPlane(setup, port, cable && {name: `plane-${i}`, redisUrl: cable.url}))
  }

  const workers: Worker[] = []
  for (const name of ['w1', 'w2']) workers.push(await startWorker(setup, urls, name))
  if (model) workers.push(await startWorker(setup, urls, 'real', model.env))
  return {
    folder,
    records,
    token,
    planes,
    cables,
    client: planeClient(urls),
    workers,
    redis,
    disks,
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map(({process}) => process.end('SIGKILL')))
      await Promise.all(planes.map((plane) => plane.end('SIGKILL')))
      for (const cable of cables) await cable[Symbol.asyncDispose]()
      for (const {proxy} of workers) await proxy[Symbol.asyncDispose]()
      await redis[Symbol.asyncDispose]()
      await model?.[Symbol.asyncDispose]()
      for (const pid of processesOf({folder, token})) process.kill(pid, 'SIGKILL')
      for (const {path} of disks) spawnSync('umount', ['-l', path])
    },
  }
}

type WorldSetup = {
  folder: string
  random: Random
  redis: RedisServer
  records: string
  token: string
  agentUser: string | undefined
}

type Replica = {name: string; redisUrl: string}

function startPlane({folder, random, redis}: WorldSetup, port: number, replica?: Replica): SupervisedProcess {
  const store = replica ? [] : ['--db', join(folder, 'plane/server.db')]
  const {name, redisUrl} = replica ?? {name: 'plane', redisUrl: redis.url}
  const plane = new SupervisedProcess({
    name,
    argv: [program, 'serve', '--port', String(port), ...store, '--redis-url', redisUrl],
    env: environment(folder, `state-${name}`),
    cwd: folder,
    control: join(folder, `control/${name}`),
    log: join(folder, `log/${name}`),
    pauseMs: () => random.int(0, 2500),
  })
  plane.start()
  return plane
}

/** Starts a worker with the stub agent, or with the real OpenCode and its environment `real`. */
async function startWorker(
  setup: WorldSetup,
  urls: readonly string[],
  name: string,
  real?: Record<string, string>,
): Promise<Worker> {
  const {folder, random, redis, records, token, agentUser} = setup
  const proxy = await startFaultProxy(urls)
  const names = real ? ['tree'] : ['one', 'two', 'three']
  const paths = names.map((tree) => repository(join(folder, name, tree)))
  const slots = real ? 1 : 3
  const globalPath = join(folder, name, 'globalPath')
  mkdirSync(globalPath)
  if (agentUser !== undefined) spawnSync('chown', ['-R', agentUser, join(folder, name)])
  const process = new SupervisedProcess({
    name,
    argv: [
      ...[program, 'start', '--server', proxy.url, '--name', name, '--poll-interval', '2'],
      ...['--redis-url', redis.url, '--max-concurrent-tasks', String(slots)],
      ...paths.flatMap((path) => ['--codebase', path]),
    ],
    env: {
      ...environment(folder, `state-${name}`),
      ...(real ? {} : {A2A_GLOBAL_CODEBASE: globalPath}),
      OPENCODE_BIN_PATH: real ? openCode : join(import.meta.dirname, 'agent.mjs'),
      OPENCODE_CHAOS_RECORDS: records,
      OPENCODE_CHAOS_TOKEN: token,
      A2A_CANCEL_GRACE: '2',
      ...(agentUser === undefined ? {} : {A2A_AGENT_USER: agentUser}),
      A2A_DRAIN_TIMEOUT: '4',
      A2A_MAX_ATTEMPTS: '20',
      ...real,
    },
    cwd: folder,
    control: join(folder, `control/${name}`),
    log: join(folder, `log/${name}`),
    pauseMs: () => random.int(0, 2500),
  })
  process.start()
  return {process, proxy, paths, isReal: real !== undefined}
}

const environment = (folder: string, state: string): Record<string, string> => ({
  PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`,
  HOME: join(folder, 'home'),
  A2A_STATE_DIR: join(folder, state),
  A2A_GLOBAL_CODEBASE: 'none',
  A2A_MIN_FREE_DISK: '4',
  NO_COLOR: '1',
})

/** Mounts a private file system, because filling a shared disk would harm others. Returns false without permission. */
function mount({path}: {path: string}): boolean {
  mkdirSync(path, {recursive: true})
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${diskSize},mode=0700`, 'tmpfs', path]).status === 0
}

/** The live stub agents, by their lock files (`pid startTime`). A pid may have been reused. */
export function liveAgents({records}: Pick<World, 'records'>): ProcessIdentity[] {
  return readdirSync(records)
    .map((name) => readText(join(records, name, 'lock')).split(' '))
    .map(([pid = '0', startTime = '']) => ({pid: Number(pid), startTime}))
    .filter((agent) => agent.pid > 0 && isAlive(agent))
}

/** Agents and orphans, found by command line or environment. */
export function processesOf({token, folder}: Pick<World, 'folder' | 'token'>): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      const environment = readText(`/proc/${pid}/environ`)
      return (
        readText(`/proc/${pid}/cmdline`).includes(token) ||
        (environment.includes('A2A_RUN=') && environment.includes(folder))
      )
    })
    .map(Number)
}

/** Empty if the file cannot be read. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}

/** Shrinks a file system to its content. The returned function restores its size. */
export function fillDisk({path}: {path: string}): () => void {
  const {blocks, bfree, bsize} = statfsSync(path)
  resize(path, String(Math.max(bsize, (blocks - bfree) * bsize))) // 0 would mean no limit, for good
  return () => resize(path, diskSize)
}

const resize = (path: string, size: string) => spawnSync('mount', ['-o', `remount,size=${size}`, path])

/** Appends to a file in the log folder. */
export const appendLog = ({folder}: Pick<World, 'folder'>, name: string, text: string) =>
  writeFileSync(join(folder, 'log', name), text, {flag: 'a'})
