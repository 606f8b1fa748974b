import {spawnSync} from 'node:child_process'
import {mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, statfsSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {ProcessIdentity} from '../src/lib/executor/executor.ts'
import {isAlive} from '../src/lib/executor/processes.ts'
import {startRedis, freePort, type RedisServer} from '../test/support/redis.ts'
import {openCode, startModel} from '../test/support/scripted-model.ts'
import {repository} from '../test/support/scratch.ts'
import {startFaultProxy, type FaultProxy} from './fault-proxy.ts'
import {KeptProcess} from './kept-process.ts'
import {planeClient, type PlaneClient} from './plane-client.ts'
import type {Random} from './random.ts'

export type Worker = {
  process: KeptProcess
  proxy: FaultProxy
  /** The working trees that it serves. */
  paths: string[]
  /** Its agent is the real OpenCode. */
  isReal: boolean
}

export type World = {
  folder: string
  records: string
  /** How long a process sleeps that an agent left: by this odd number all of them are found. */
  token: string
  plane: KeptProcess
  client: PlaneClient
  workers: Worker[]
  redis: RedisServer
  /** File systems of their own that can be filled: of the first worker's state and of the plane's database. */
  disks: {name: string; path: string}[]
  [Symbol.asyncDispose](): Promise<void>
}

const root = join(import.meta.dirname, '..')
const program = join(root, 'bin/run.js')
const diskSize = '2g'

/** Starts a control plane, Redis and the workers, each behind a proxy of its own. */
export async function startWorld(random: Random, {withReal}: {withReal: boolean}): Promise<World> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'a2a-chaos-')))
  const records = join(folder, 'records')
  for (const name of ['records', 'home', 'plane', 'log']) mkdirSync(join(folder, name))
  const token = `86400.${process.pid}${String(Date.now()).slice(-6)}` // of this run, not of its seed
  const redis = await startRedis()
  const model = withReal ? await startModel() : undefined
  const disks = ['plane', 'state-w1'].map((name) => ({name, path: join(folder, name)})).filter(mount)
  const about = {folder, random, redis, records, token}
  const port = await freePort()
  const plane = startPlane(about, port)
  const url = `http://127.0.0.1:${port}`
  const workers: Worker[] = []
  for (const name of ['w1', 'w2']) workers.push(await startWorker(about, url, name))
  if (model) workers.push(await startWorker(about, url, 'real', model.env))
  return {
    folder,
    records,
    token,
    plane,
    client: planeClient(url),
    workers,
    redis,
    disks,
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map(({process}) => process.end('SIGKILL')))
      await plane.end('SIGKILL')
      for (const {proxy} of workers) await proxy[Symbol.asyncDispose]()
      await redis[Symbol.asyncDispose]()
      await model?.[Symbol.asyncDispose]()
      for (const pid of processesOf({folder, token})) process.kill(pid, 'SIGKILL')
      for (const {path} of disks) spawnSync('umount', ['-l', path])
    },
  }
}

type About = {folder: string; random: Random; redis: RedisServer; records: string; token: string}

function startPlane({folder, random, redis}: About, port: number): KeptProcess {
  const argv = [program, 'serve', '--port', String(port), '--db', join(folder, 'plane/server.db')]
  const plane = new KeptProcess({
    name: 'plane',
    argv: [...argv, '--redis-url', redis.url],
    env: environment(folder, 'state-plane'),
    cwd: folder,
    control: join(folder, 'control/plane'),
    log: join(folder, 'log/plane'),
    pauseMs: () => random.int(0, 2500),
  })
  plane.start()
  return plane
}

/** The stub agent; with `real`, what the real OpenCode needs in its environment. */
async function startWorker(about: About, url: string, name: string, real?: Record<string, string>): Promise<Worker> {
  const {folder, random, redis, records, token} = about
  const proxy = await startFaultProxy(url)
  const names = real ? ['tree'] : ['one', 'two', 'three']
  const paths = names.map((tree) => repository(join(folder, name, tree)))
  const slots = real ? 1 : 3
  const anywhere = join(folder, name, 'anywhere')
  mkdirSync(anywhere)
  const process = new KeptProcess({
    name,
    argv: [
      ...[program, 'start', '--server', proxy.url, '--name', name, '--poll-interval', '2'],
      ...['--redis-url', redis.url, '--max-concurrent-tasks', String(slots)],
      ...paths.flatMap((path) => ['--codebase', path]),
    ],
    env: {
      ...environment(folder, `state-${name}`),
      ...(real ? {} : {A2A_GLOBAL_CODEBASE: anywhere}),
      OPENCODE_BIN_PATH: real ? openCode : join(import.meta.dirname, 'agent.mjs'),
      OPENCODE_CHAOS_RECORDS: records,
      OPENCODE_CHAOS_TOKEN: token,
      A2A_CANCEL_GRACE: '2',
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

/** Only who may mount can fill a disk without harm to others. */
function mount({path}: {path: string}): boolean {
  mkdirSync(path, {recursive: true})
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${diskSize},mode=0700`, 'tmpfs', path]).status === 0
}

/** Live agents of the stub's kind, by their locks: `pid startTime`. A number may be a stranger's by now. */
export function liveAgents({records}: Pick<World, 'records'>): ProcessIdentity[] {
  return readdirSync(records)
    .map((name) => readText(join(records, name, 'lock')).split(' '))
    .map(([pid = '0', startTime = '']) => ({pid: Number(pid), startTime}))
    .filter((agent) => agent.pid > 0 && isAlive(agent))
}

/** Agents and what they left, by what is on their command line or in their environment. */
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

/** Empty where there is nothing to read. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}

/** Makes a file system no bigger than what is in it, until the answer is called. */
export function fillDisk({path}: {path: string}): () => void {
  const {blocks, bfree, bsize} = statfsSync(path)
  resize(path, String((blocks - bfree) * bsize))
  return () => resize(path, diskSize)
}

const resize = (path: string, size: string) => spawnSync('mount', ['-o', `remount,size=${size}`, path])

/** Keeps what was seen for people who want to know more. */
export const note = ({folder}: Pick<World, 'folder'>, name: string, text: string) =>
  writeFileSync(join(folder, 'log', name), text, {flag: 'a'})
