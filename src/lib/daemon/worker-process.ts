import {fstatSync} from 'node:fs'
import {homedir} from 'node:os'
import {ControlPlaneClient} from '../client/control-plane.ts'
import type {Environment} from '../config/file.ts'
import {globalCodebasePath} from '../config/global-codebase.ts'
import {defaultWorkerName, workerIdentity} from '../config/identity.ts'
import type {Config} from '../config/settings.ts'
import {makePrivateDirectory} from '../config/state-directory.ts'
import {authToken} from '../config/token.ts'
import {socketMode, socketPath} from '../control/socket-path.ts'
import {serveSocket} from '../control/socket-server.ts'
import {Cleanup} from '../core/cleanup.ts'
import {systemClock} from '../core/clock.ts'
import {compactHeap} from '../core/compact-heap.ts'
import {exitCodes} from '../core/errors.ts'
import {onHangup, onTermination, StopLadder, type StopStep} from '../core/signals.ts'
import {EventBus} from '../events/bus.ts'
import {logReporter, type LogOptions} from '../events/log-reporter.ts'
import type {Executor} from '../executor/executor.ts'
import {createRunExecutor} from '../executor/run.ts'
import {createCatalog} from '../opencode/program/catalog.ts'
import {localOpenCode, dataDirectory} from '../opencode/program/local-opencode.ts'
import {createModelSource, type ModelSource} from '../opencode/program/models.ts'
import {probeOpenCode} from '../opencode/program/probe.ts'
import {installReporter} from '../opencode/program/reporter.ts'
import type {CommandOptions} from '../opencode/storage/session-commands.ts'
import {isNotifyService, reportToManager} from '../service/manager.ts'
import type {OpenDashboard} from '../ui/dashboard/controls.ts'
import {ViewStore} from '../ui/view/view-store.ts'
import {emptyView} from '../ui/view/view.ts'
import {runWorker} from '../worker/worker.ts'
import {compactWhenIdle} from './compact-when-idle.ts'
import {dashboardControls, socketHandlers, type LocalControlContext} from './local-control.ts'
import {Reloader, type ReadSettings} from './reload.ts'
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
  makePrivateDirectory(stateDir)
  const bus = new EventBus(clock)
  const name = config.worker_name ?? defaultWorkerName(options.isLocal ? config.codebases[0]?.path : undefined)
  const store = createViewStore(config, name, clock.now())
  const display = new WorkerDisplay(options, store)
  const format = config.log_format === 'text' && writesToJournal(options.env) ? 'journal' : config.log_format
  bus.on(await logReporter(logOptions(config, format, display.write)))
  bus.on(store.push)
  await using _manager = reportToManager(bus, {env: options.env, pid: process.pid})
  const {step, detach, drain} = createStopHandlers(ladder, bus)
  using _signals = onTermination(step, detach)
  const reloader = new Reloader()
  using _hangup = onHangup({reload: reloader.request, leave: drain})
  const workerId = workerIdentity(stateDir, name, config.worker_id)
  const {commands, ...agent} = await prepareOpenCode(options, bus)
  await using stack = new Cleanup()
  const server = await connectControlPlane(options, bus, stack)
  const client = stack.use(new ControlPlaneClient(server))
  process.title = `a2a-worker ${name}`
  const tokens = new Set(server.token === undefined ? [] : [server.token])
  const secrets = () => collectSecrets(options, tokens)
  const globalPath = globalCodebasePath(config, options.env, options.isLocal)
  const storage = {env: options.env, home: options.env['HOME'] || homedir(), commands}
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
  stack.defer(() => display.close())
  const opening: Promise<void>[] = []
  compactHeap()
  using _rest = compactWhenIdle(bus, store.get)
  await runWorker(
    {...workerOptions, signals: ladder, once: options.once, exitAfterIdleMs: options.exitAfterIdleMs},
    (worker) => {
      const context: LocalControlContext = {worker, store, bus, ladder, step, server: client.url, version}
      const path = socketPath(options.env, stateDir, name)
      opening.push(
        serveSocket(path, socketMode(options.env), socketHandlers(context)).then((opened) => void (socket = opened)),
      )
      reloader.start({
        ...{read: options.reload, config, client, worker, bus},
        tokens: usesLocalControlPlane(options) ? undefined : tokens,
      })
      display.open(dashboardControls(context), {watch: () => worker.queue.watch(), emit: bus.emit})
    },
  )
  await Promise.all(opening)
}

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

/** Whether stderr is systemd's journal: JOURNAL_STREAM holds its device and inode (sd_journal(3)). */
function writesToJournal(env: Environment): boolean {
  const {dev, ino} = fstatSync(process.stderr.fd)
  return env['JOURNAL_STREAM'] === `${dev}:${ino}`
}

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

/** Finds and probes OpenCode once, so that problems show at the start and not in each task. Throws ExpectedError (78). */
async function prepareOpenCode(
  options: WorkerProcessOptions,
  bus: EventBus,
): Promise<{executor: Executor; models: ModelSource; commands: CommandOptions}> {
  const {config, env} = options
  const ask = localOpenCode(options)
  const probe = await probeOpenCode(ask.binary, ask.env(ask.scratchDir))
  bus.emit({type: 'notice', level: 'info', text: `OpenCode ${probe.version} at ${ask.binary} (${ask.source})`})
  for (const text of probe.warnings) bus.emit({type: 'notice', level: 'warn', text})
  const source = {...ask, clock: systemClock}
  const catalog = createCatalog(source)
  return {
    executor: createRunExecutor({
      ...{binary: ask.binary, probe, catalog, env, clock: systemClock},
      ...(probe.version.startsWith('1.') ? {reporter: installReporter(ask.scratchDir)} : {}),
      // Getters, so that each run uses the current live settings.
      get allow() {
        return config.env_allow
      },
      get permissions() {
        return config.permissions
      },
    }),
    models: createModelSource({...source, directory: ask.scratchDir, dataDir: dataDirectory(env)}),
    commands: {...ask, env: ask.env(ask.scratchDir)},
  }
}

const usesLocalControlPlane = ({isLocal, config}: WorkerProcessOptions) => isLocal || config.server_url === undefined

/** Address and token of the control plane. Starts a local one if no server is configured and none runs. */
async function connectControlPlane(options: WorkerProcessOptions, bus: EventBus, stack: Cleanup) {
  const {config, stateDir} = options
  if (!usesLocalControlPlane(options) && config.server_url !== undefined) {
    const url = new URL(config.server_url)
    const isUnencrypted = url.protocol === 'http:' && !['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
    if (isUnencrypted)
      bus.emit({
        type: 'notice',
        level: 'warn',
        text: `${config.server_url} is not encrypted: others on the network can read token, prompts and output`,
      })
    return {baseUrl: config.server_url, token: authToken(config)}
  }

  const {embedPlane} = await import('../server/embedded.ts')
  const log = (text: string) => bus.emit({type: 'notice', level: 'info', text})
  const watching = new AbortController()
  const plane = stack.use(await embedPlane({stateDir, clock: systemClock, log, signal: watching.signal}))
  stack.defer(() => watching.abort())
  log(`Local control plane: ${plane.url} (${plane.isHost() ? 'hosted by this process' : 'hosted by another process'})`)
  return {baseUrl: plane.url, token: plane.token}
}

/** Values that must not leave the machine: all tokens used so far, and the agents' variables with the name of a secret. */
function collectSecrets({env, config}: WorkerProcessOptions, tokens: ReadonlySet<string>): string[] {
  const secretName = /(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)/i
  const allowed = Object.entries(env).filter(([name]) =>
    config.env_allow.some((allow) => allow === name || (allow.endsWith('*') && name.startsWith(allow.slice(0, -1)))),
  )
  return [...tokens, ...allowed.flatMap(([name, value]) => (secretName.test(name) && value ? [value] : []))]
}
