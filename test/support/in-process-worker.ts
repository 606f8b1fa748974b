import {randomUUID} from 'node:crypto'
import {existsSync, mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'
import {resolveConfig} from '../../src/lib/config/resolve.ts'
import {StopLadder} from '../../src/lib/core/signals.ts'
import {EventBus} from '../../src/lib/events/bus.ts'
import {logReporter} from '../../src/lib/events/log-reporter.ts'
import type {WorkerEvent} from '../../src/lib/events/worker-event.ts'
import type {Executor} from '../../src/lib/executor/executor.ts'
import type {ModelSource} from '../../src/lib/opencode/program/models.ts'
import type {RunningWorker} from '../../src/lib/worker/running-worker.ts'
import {runWorker} from '../../src/lib/worker/worker.ts'
import {fastClock} from './fast-clock.ts'
import {scratchFolder, until} from './scratch.ts'
import {stubExecutor} from './stub-executor.ts'

export type InProcessWorker = AsyncDisposable & {
  id: string
  stateDir: string
  events: WorkerEvent[]
  /** Its log, including debug lines. */
  log: () => string
  client: ControlPlaneClient
  running: RunningWorker
}

export type InProcessWorkerOptions = {
  factor?: number
  settings?: Record<string, unknown>
  globalPath?: string
  models?: ModelSource
  /** Default: agents that run their prompt as a shell script. Gets a scratch folder. */
  executor?: (folder: string) => Executor
}

/**
 * A worker in this process whose clock is `factor` times as fast, for tests of its periodic actions. Its sockets and its
 * agents are real and take real time; the agents run their prompt as a shell script. It is ended when disposed.
 */
export async function startInProcessWorker(
  server: string,
  codebases: string[],
  {factor = 100, settings = {}, globalPath, models, executor = stubExecutor}: InProcessWorkerOptions = {},
): Promise<InProcessWorker> {
  const scratch = scratchFolder()
  const stateDir = join(scratch.path, 'state')
  mkdirSync(stateDir)
  const clock = fastClock(factor)
  const bus = new EventBus(clock)
  const events: WorkerEvent[] = []
  let log = ''
  bus.on((event) => events.push(event))
  bus.on(await logReporter({format: 'text', level: 'debug', write: (text) => (log += text)}))
  const {config} = resolveConfig({flags: {codebases, ...settings}, env: {}, files: [], cwd: scratch.path})
  const client = new ControlPlaneClient({baseUrl: server, token: config.auth_token})
  const signals = new StopLadder(() => {})
  // Two test files run at once, and a worker ends processes with its id that belong to none of its runs.
  const id = `here-${randomUUID()}`
  let running: RunningWorker | undefined
  const about = {config, name: 'here', workerId: id, version: '0', stateDir}
  const ended = runWorker(
    {
      ...about,
      globalPath,
      client,
      executor: executor(scratch.path),
      contained: {kind: 'none', groups: undefined},
      program: {problem: () => undefined, check: async () => {}},
      models,
      secrets: () => [],
      bus,
      clock,
      signals,
      once: false,
      exitAfterIdleMs: 0,
    },
    (worker) => (running = worker),
  )
  const worker = await Promise.race([until(() => running, 'the worker to start'), ended])
  if (!worker) throw new Error('the worker ended at once')
  return {
    id,
    stateDir,
    events,
    log: () => log,
    client,
    running: worker,
    async [Symbol.asyncDispose]() {
      signals.step()
      signals.step()
      await ended
      await client[Symbol.asyncDispose]()
      scratch[Symbol.dispose]()
    },
  }
}

/** Whether anything was started or written for a task. */
export const hasBegun = ({stateDir, events}: Pick<InProcessWorker, 'stateDir' | 'events'>, id: string): boolean =>
  existsSync(join(stateDir, 'workers/here/runs', id)) ||
  events.some((event) => event.type === 'task.started' && event.taskId === id)
