import {homedir} from 'node:os'
import {join} from 'node:path'
import {makePrivateDirectory, workerDirectory} from '../config/state-directory.ts'
import {markerOwner} from '../worker/run/marker.ts'
import {ControlPlaneClient} from '../client/control-plane.ts'
import {nameOf} from '../client/network-problem.ts'
import type {Environment} from '../config/file.ts'
import {globalCodebasePath} from '../config/global-codebase.ts'
import {readLocalControlPlane} from '../config/local-control-plane.ts'
import {repairModes, repairText} from '../config/repair-modes.ts'
import type {Config} from '../config/settings.ts'
import {exposureOf, exposureText} from '../config/plain-http.ts'
import {proxyFor} from '../config/proxy.ts'
import {authToken} from '../config/token.ts'
import {isOpenToGroup, socketPath} from '../control/socket-path.ts'
import {serveSocket} from '../control/socket-server.ts'
import {Cleanup} from '../core/cleanup.ts'
import {systemClock} from '../core/clock.ts'
import {compactHeap} from '../core/compact-heap.ts'
import {exitCodes, ExpectedError, messageOf} from '../core/errors.ts'
import {onHangup, onTermination, StopLadder, type StopStep} from '../core/signals.ts'
import {EventBus} from '../events/bus.ts'
import {logReporter} from '../events/log-reporter.ts'
import {logFormat, type LogOptions} from '../events/log-writer.ts'
import {initFix, initProblem} from '../executor/processes/init-process.ts'
import {isNotifyService, reportToManager} from '../service/manager.ts'
import {checkTrustedKeys} from '../signing/key-files.ts'
import type {OpenDashboard} from '../ui/dashboard/controls.ts'
import {ViewStore} from '../ui/view/view-store.ts'
import {emptyView} from '../ui/view/view.ts'
import {runWorker} from '../worker/worker.ts'
import {compactWhenIdle} from './compact-when-idle.ts'
import type {WorkerHealth, WorkerHealthOptions} from './health/worker-health.ts'
import {identifyWorker} from './identify-worker.ts'
import {prepareAgent} from './local-agent.ts'
import {dashboardControls, socketHandlers, startingControls, type LocalControlContext} from './local-control.ts'
import {Reloader, type ReadSettings} from './reload.ts'
import {collectSecrets} from './secrets.ts'
import {WorkerDisplay} from './worker-display.ts'

export type WorkerProcessOptions = {
  /** A reload changes live settings in this object. */
  config: Config
  /** Reads the settings again, at SIGHUP. */
  reload: ReadSettings
  stateDir: string
  version: string
  /** Folder of this program. */
  root: string
  env: Environment
  /** Use the local control plane, and host it if no other process does. */
  isLocal: boolean
  /** Part of its default name: see `identifyWorker`. */
  scope?: string | undefined
  /** What to tell the user first. */
  notices: readonly string[]
  /** Called with what the start waits for. */
  onStartup?: ((step: string) => void) | undefined
  once: boolean
  exitAfterIdleMs: number
  /** Writes a log line. */
  write: (text: string) => void
  exit: (code: number) => void
  dashboard?: OpenDashboard | undefined
  /** The log does not go to the terminal, so it continues while the dashboard is open. */
  isLogRedirected?: boolean
}

const hints = {
  drain: {
    cancel: 'draining: no more tasks, running tasks may finish; repeat to cancel them',
    detach: 'draining: no more tasks, running tasks may finish; repeat to exit at once, agents keep running',
  },
  cancel: 'cancelling the running tasks; repeat to exit at once',
  detach: 'exiting at once; agents keep running, and the next start adopts them',
  exit: 'exiting at once; the next start recovers the agents',
}

/**
 * Runs the whole process of `start`: local control plane if needed, agent, socket, signals, worker. Calls `exit` at the
 * end. Throws ExpectedError if the start fails.
 *
 * A service manager sends the same signal for a stop and a restart, but only a stop may end the agents. So under a
 * service manager the worker leaves agents alone that still run after the drain. The companion unit ends them at a stop.
 */
export async function startWorker(options: WorkerProcessOptions): Promise<void> {
  const second = isNotifyService(options.env) ? 'detach' : 'cancel'
  const ladder = new StopLadder(() => options.exit(exitCodes.interrupted), second)
  await runProcess(options, ladder)
  // Everything is closed and written. Without this, Node would wait for child processes: agents that keep running.
  options.exit(exitCodes.ok)
}

async function runProcess(options: WorkerProcessOptions, ladder: StopLadder): Promise<void> {
  const {config, stateDir, version} = options
  const clock = systemClock
  const {scope, env} = options
  checkTrustedKeys(config)
  const repaired = repairModes(stateDir)
  const {name, workerId, notice} = await identifyWorker({config, stateDir, env, scope})
  const bus = new EventBus(clock)
  const store = createViewStore(config, name, clock.now())
  const display = new WorkerDisplay(options, store)
  bus.on(await logReporter(logOptions(config, logFormat(config.log_format, options.env), display.write)))
  bus.on(store.push)
  await using _manager = reportToManager(bus, {env: options.env, pid: process.pid})
  const {step, detach, drain} = createStopHandlers(ladder, bus)
  using _signals = onTermination(step, detach)
  const unreaped = initProblem()
  if (unreaped) bus.emit({type: 'notice', level: 'warn', text: `${unreaped}; start the container with ${initFix}`})
  const reloader = new Reloader()
  using _hangup = onHangup({reload: reloader.request, leave: drain})
  if (notice !== undefined) bus.emit({type: 'notice', level: 'warn', text: notice})
  if (repaired.length > 0) bus.emit({type: 'notice', level: 'warn', text: repairText(repaired)})
  for (const text of options.notices) bus.emit({type: 'notice', level: 'info', text})
  await using stack = new Cleanup()
  stack.defer(() => display.close())
  // At once, so that the terminal shows what the start waits for.
  const controls = startingControls(step)
  display.open(controls, bus.emit)
  const waitFor = (what: string) => {
    bus.emit({type: 'startup.changed', step: what})
    options.onStartup?.(what)
  }
  const health = await openHealth({config, name, version, bus, clock}, stack)
  waitFor('asking OpenCode for its version')
  const workerDir = makePrivateDirectory(workerDirectory(stateDir, name))
  const place = {agentsDir: join(workerDir, 'agents'), markerOwner: markerOwner(workerId, workerDir)}
  const prepared = await prepareAgent({...options, ...place}, bus, ladder.drain).catch((error: unknown) => {
    if (!ladder.drain.aborted) throw error
  })
  if (!prepared) return
  const {commands, env: agentEnv, warmUp, close, ...agent} = prepared
  stack.defer(close)
  waitFor(`reaching the control plane ${config.server_url ?? 'of this machine'}`)
  const server = await connectControlPlane(options, bus, stack)
  const client = stack.use(new ControlPlaneClient(server))
  process.title = `a2a-worker ${name}`
  const tokens = new Set(server.token === undefined ? [] : [server.token])
  const secrets = () => collectSecrets({env: agentEnv, config, user: agent.user, tokens})
  const globalPath = globalCodebasePath(config, agentEnv, options.isLocal)
  if (globalPath !== undefined && config.global_codebase === undefined)
    bus.emit({type: 'notice', level: 'info', text: globalText(globalPath)})
  const storage = {env: agentEnv, home: agentEnv['HOME'] || homedir(), commands}
  const workerOptions = {
    config,
    name,
    workerId,
    version,
    stateDir,
    globalPath,
    client,
    ...agent,
    storage,
    secrets,
    bus,
    clock,
  }
  let socket: AsyncDisposable | undefined
  stack.defer(() => socket?.[Symbol.asyncDispose]())
  const opening: Promise<void>[] = []
  compactHeap()
  using _rest = compactWhenIdle(bus, store.get)
  waitFor(`registering with ${client.url}`)
  await runWorker(
    {...workerOptions, signals: ladder, once: options.once, exitAfterIdleMs: options.exitAfterIdleMs},
    (worker) => {
      health?.attach(worker)
      warmUpOnce(bus, () => void warmUp(config.codebases.map(({path}) => path)))
      const context: LocalControlContext = {
        ...{config, worker, store, bus, ladder, step, client, version},
        containment: agent.contained.kind,
        agents: agent.agents,
      }
      const path = socketPath(options.env, stateDir, name)
      opening.push(
        serveSocket(path, socketHandlers(context), {isOpenToGroup: isOpenToGroup(options.env)}).then(
          (opened) => void (socket = opened),
          // the work does not depend on it
          (error: unknown) => bus.emit({type: 'notice', level: 'warn', text: noSocketText(error)}),
        ),
      )
      reloader.start({
        ...{read: options.reload, config, client, worker, bus},
        tokens: usesLocalControlPlane(options) ? undefined : tokens,
      })
      Object.assign(controls, dashboardControls(context))
      display.watchQueue(() => worker.queue.watch())
    },
  )
  await Promise.all(opening)
}

/** Loads the metrics only if somebody may scrape them. */
async function openHealth(options: Omit<WorkerHealthOptions, 'at'>, stack: Cleanup): Promise<WorkerHealth | undefined> {
  const {bus, config} = options
  const {health_addr: at} = config
  if (at === undefined) return undefined
  const {openWorkerHealth} = await import('./health/worker-health.ts')
  const health = stack.use(await openWorkerHealth({...options, at}))
  const text = `Health checks and metrics: http://${health.address}/livez, /readyz and /metrics`
  bus.emit({type: 'notice', level: 'info', text})
  return health
}

/** Calls `start` when the worker is registered for the first time: nothing delays that. */
function warmUpOnce(bus: EventBus, start: () => void): void {
  const listening = bus.on((event) => {
    if (event.type !== 'worker.registered') return
    listening[Symbol.dispose]()
    start()
  })
}

const noSocketText = (error: unknown) =>
  [
    'This worker has no local socket: status and dashboard do not find it.',
    messageOf(error),
    ...(error instanceof ExpectedError ? error.suggestions : []),
  ].join(' ')

const globalText = (path: string) =>
  `Tasks and sessions without a codebase belong to the codebase global, ${path}. To turn this off: A2A_GLOBAL_CODEBASE=none, or global_codebase in the configuration`

const createViewStore = (
  {server_url: server = '', log_level: logLevel, max_concurrent_tasks: slots}: Config,
  name: string,
  now: number,
) => new ViewStore(emptyView({name, server, slots, logLevel, now}))

/** Options of the log reporter. The level is read for each event, because a reload may change it. */
const logOptions = (config: Config, format: LogOptions['format'], write: LogOptions['write']): LogOptions => ({
  format,
  get level() {
    return config.log_level
  },
  write,
})

/** Handlers that take steps of the stop ladder and emit an event with a hint. */
function createStopHandlers(ladder: StopLadder, bus: EventBus) {
  const emitStop = (step: StopStep, by: string) => {
    const hint = step === 'drain' ? hints.drain[ladder.second] : hints[step]
    bus.emit({type: 'stop.requested', step, by, hint})
  }
  return {
    step: (by: string) => emitStop(ladder.step(), by),
    /** At most one drain: after a terminal is lost, both the kernel and the shell send SIGHUP. */
    drain: (by: string) => {
      if (!ladder.drain.aborted) emitStop(ladder.step(), by)
    },
    detach: (by: string) => {
      emitStop('detach', by)
      ladder.detachNow()
    },
  }
}

const usesLocalControlPlane = ({isLocal, config}: WorkerProcessOptions) => isLocal || config.server_url === undefined

/** Address and token of the control plane. Starts a local one if no server is configured and none runs. */
async function connectControlPlane(options: WorkerProcessOptions, bus: EventBus, stack: Cleanup) {
  const {config, stateDir, version} = options
  if (!usesLocalControlPlane(options) && config.server_url !== undefined) {
    if (exposureOf(config.server_url) !== 'none')
      bus.emit({type: 'notice', level: 'warn', text: exposureText(config.server_url)})
    const proxy = proxyFor(config.server_url, {setting: config.proxy, env: options.env})
    if (proxy) bus.emit({type: 'notice', level: 'info', text: `The server is reached through ${nameOf(proxy)}`})
    return {baseUrl: config.server_url, token: authToken(config), proxy}
  }

  const {embedPlane} = await import('../server/embedded.ts')
  const log = (text: string) => bus.emit({type: 'notice', level: 'info', text})
  const watching = new AbortController()
  const plane = stack.use(await embedPlane({stateDir, version, clock: systemClock, log, signal: watching.signal}))
  stack.defer(() => watching.abort())
  log(`Local control plane: ${plane.url} (${plane.isHost() ? 'hosted by this process' : 'hosted by another process'})`)
  log(`Monitor page: ${plane.url}/ (open it, logged in, with: a2a-worker open)`)
  return {baseUrl: plane.url, token: plane.token, local: () => readLocalControlPlane(stateDir)}
}
