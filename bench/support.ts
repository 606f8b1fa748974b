import {spawn, spawnSync, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync} from 'node:fs'
import http from 'node:http'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

export const root = join(import.meta.dirname, '..')
export const program = join(root, 'bin/run.js')
export const floor = join(root, 'bench/floor/floor.mjs')

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** A temporary folder for logs, state and the agent, deleted when disposed. */
export function scratchFolder(): Disposable & {path: string} {
  const path = mkdtempSync(join(tmpdir(), 'a2a-bench-'))
  return {path, [Symbol.dispose]: () => rmSync(path, {recursive: true, force: true, maxRetries: 5})}
}

/** Compiles the stub agent: a program that costs almost nothing and logs when it begins and ends. */
export function buildAgent(folder: string): string {
  const path = join(folder, 'agent')
  const source = join(root, 'bench/floor/agent-stub.c')
  const {status, error, stderr} = spawnSync('cc', ['-O2', '-w', '-o', path, source], {encoding: 'utf8'})
  if (error) throw new Error('the benchmarks need a C compiler (Debian package: gcc)', {cause: error})
  if (status !== 0) throw new Error(`cc: ${stderr}`)
  return path
}

// ------------------------------------------------------------------------------------------------------- time

let base = 0n
/** CLOCK_REALTIME in ns, as the agent logs it. */
export function nowNs(): bigint {
  if (base === 0n) calibrate()
  return base + process.hrtime.bigint()
}

/** Calibrates on ticks of the millisecond clock. Each round begins with it, because the clock may have been set. */
export function calibrate(): void {
  base = 0n
  for (let i = 0; i < 20; i++) {
    const tick = Date.now()
    while (Date.now() === tick);
    const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint()
    if (base === 0n || offset > base) base = offset
  }
}

/** The time from `start` to `end` (in ns), in ms. */
export const elapsed = (start: bigint, end: bigint) => Number(end - start) / 1e6

// -------------------------------------------------------------------------------------------------- statistics

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN
}

export const median = (values: readonly number[]) => quantile(values, 0.5)

/** Prints one line of a result: value, floor of the same run, ratio, and goal. */
export function report(what: string, value: number, floorValue: number, unit: string, goal: string): void {
  const ratio = value / floorValue
  process.stdout.write(
    `${what.padEnd(34)} ${value.toFixed(2).padStart(9)} ${unit.padEnd(4)} floor ${floorValue.toFixed(2).padStart(9)} ${unit.padEnd(4)} ratio ${ratio.toFixed(2)} (goal ${goal})\n`,
  )
}

// --------------------------------------------------------------------------------------------------- processes

export type Environment = Record<string, string>

export function environment(folder: string, agent: string, more: Environment = {}): Environment {
  mkdirSync(join(folder, 'home'), {recursive: true})
  return {
    PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`,
    HOME: join(folder, 'home'),
    A2A_STATE_DIR: join(folder, 'state'),
    OPENCODE_BIN_PATH: agent,
    STUB_LOG: join(folder, 'agent.log'),
    A2A_ENV_ALLOW: 'STUB_LOG',
    A2A_LOG_LEVEL: 'warn',
    // to compare runs with and without control groups
    ...(process.env['A2A_RUN_CONTAINMENT'] ? {A2A_RUN_CONTAINMENT: process.env['A2A_RUN_CONTAINMENT']} : {}),
    A2A_GLOBAL_CODEBASE: 'none',
    A2A_EXECUTOR: 'run', // the stub agent does not speak the protocol
    ...sharedState(),
    ...(process.env['TRACE'] ? {TRACE: process.env['TRACE']} : {}),
    ...more,
  }
}

/** With A2A_REDIS_URL the state of the control plane is in this Redis, under a prefix of its own. */
function sharedState(): Environment {
  const url = process.env['A2A_REDIS_URL']
  return url === undefined ? {} : {A2A_REDIS_URL: url, A2A_REDIS_PREFIX: `{bench-${process.pid}}:`}
}

export type Program = AsyncDisposable & {child: ChildProcess; stderr: () => string; stdout: () => string}

export function startProgram(args: string[], env: Environment, cwd: string, script = program): Program {
  const child = spawn(process.execPath, [script, ...args], {cwd, env, stdio: ['ignore', 'pipe', 'pipe']})
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += String(chunk)))
  child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)))
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

/** Waits until `look` returns a truthy value. */
export async function until<T>(look: () => T | Promise<T>, what: string, ms = 60_000): Promise<NonNullable<T>> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(5)) {
    const found = await look()
    if (found) return found
  }

  throw new Error(`gave up waiting for ${what}`)
}

/** Starts a control plane and a worker as separate processes, with codebases that are plain folders. */
export async function startFleet(folder: string, env: Environment, {codebases = 1, slots = 2} = {}) {
  const paths = Array.from({length: codebases}, (_, i) => join(folder, `codebase-${i}`))
  for (const path of paths) mkdirSync(path, {recursive: true})
  const plane = startProgram(['serve', '--port', '0'], env, folder)
  const url = await urlOf(plane, 'the control plane')
  const flags = [...paths.flatMap((path) => ['--codebase', path]), '--max-concurrent-tasks', String(slots)]
  const worker = startProgram(['start', '--server', url, '--name', 'bench', ...flags], env, folder)
  const call = caller(url)
  const known = await until(async () => {
    ended(worker)
    const connected = (await call('GET', '/v1/worker/connected')) as {count: number}
    const all = (await call('GET', '/v1/opencode/codebases')) as {id: string; path: string}[]
    return connected.count > 0 && all.length === codebases ? all : undefined
  }, 'the worker')
  return {
    url,
    plane,
    worker,
    call,
    ids: paths.map((path) => known.find((codebase) => codebase.path === path)?.id ?? ''),
    async [Symbol.asyncDispose]() {
      // A killed worker would leave its warm agents.
      if (worker.child.kill('SIGTERM')) await Promise.race([once(worker.child, 'exit'), sleep(10_000)])
      await worker[Symbol.asyncDispose]()
      await plane[Symbol.asyncDispose]()
    },
  }
}

/** Waits until a server has printed its address. Throws if it ends before. */
export const urlOf = (server: Program, what: string): Promise<string> =>
  until(() => server.stdout().trim() || ended(server), what)

function ended({child, stderr}: Program): undefined {
  if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${stderr()}`)
}

export const caller =
  (url: string) =>
  async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(url + path, {
      method,
      ...(body === undefined ? {} : {body: JSON.stringify(body), headers: {'content-type': 'application/json'}}),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response.json()
  }

/** Uses `node:http` like the floor, so that both have the same cost of the client. */
export function httpCaller(url: string) {
  const agent = new http.Agent({keepAlive: true})
  return (method: string, path: string, body?: unknown) =>
    new Promise<unknown>((resolve, reject) => {
      const request = http.request(
        url + path,
        {method, agent, headers: {'content-type': 'application/json'}, signal: AbortSignal.timeout(30_000)},
        (answer) => {
          let text = ''
          answer.on('data', (chunk: Buffer) => (text += String(chunk)))
          answer.on('end', () =>
            (answer.statusCode ?? 500) < 300
              ? resolve(JSON.parse(text))
              : reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`)),
          )
        },
      )
      request.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body))
    })
}

// ------------------------------------------------------------------------------------------------------- agent

export type AgentEntry = {ev: 'start' | 'end'; t: string; pid: number; tag: string}

/** Returns a function that reads the log entries of the agents since its last call. */
export function agentLog(path: string) {
  let position = existsSync(path) ? statSync(path).size : 0
  return (): AgentEntry[] => {
    if (!existsSync(path)) return []
    const text = readFileSync(path).subarray(position).toString('utf8')
    const whole = text.slice(0, text.lastIndexOf('\n') + 1)
    position += Buffer.byteLength(whole)
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AgentEntry)
  }
}

/** The resident memory of a process in MB: current, or its maximum (`peak`). */
export function residentMb(pid: number, which: 'now' | 'peak' = 'now'): number {
  const name = which === 'now' ? 'VmRSS' : 'VmHWM'
  const [, kb] = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kb) / 1024
}

/** The CPU time of a process so far, in ms. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}
