import {randomUUID} from 'node:crypto'
import {homedir} from 'node:os'
import {join} from 'node:path'
import type {ControlPlaneClient} from '../client/control-plane.ts'
import type {Environment} from '../config/file.ts'
import {localScope} from '../config/identity.ts'
import {globalCodebasePath} from '../config/global-codebase.ts'
import type {Config} from '../config/settings.ts'
import {makePrivateDirectory, workerDirectory} from '../config/state-directory.ts'
import {authToken} from '../config/token.ts'
import {findLocalWorkers} from '../control/local-workers.ts'
import type {SyncReport} from '../control/messages.ts'
import {requestSync} from '../control/socket-client.ts'
import {systemClock} from '../core/clock.ts'
import {existing} from '../core/paths/current-directory.ts'
import {usageError} from '../core/errors.ts'
import {EventBus} from '../events/bus.ts'
import {environmentOfUser, findAgentUser} from '../opencode/program/agent-user.ts'
import {localOpenCode} from '../opencode/program/local-opencode.ts'
import type {CommandOptions} from '../opencode/storage/session-commands.ts'
import {sessionFile, SessionSync, sessionSettings} from '../sessions/session-sync.ts'
import {Codebases} from '../worker/registration/codebases.ts'
import {Registration} from '../worker/registration/registration.ts'
import {registrationRoots} from '../worker/registration/registration-roots.ts'
import {featuresOf} from '../protocol/features.ts'
import {acquireWorkerLock} from '../worker/locks/worker-lock.ts'
import {identifyWorker} from './identify-worker.ts'

export type SyncSessionsOptions = {
  context: {config: Config; stateDir: string}
  env: Environment
  /** Undefined if the current directory has been deleted. */
  cwd: string | undefined
  version: string
  /** Folder of this program. */
  root: string
  /** Send everything again. */
  all: boolean
  controlPlane: () => Promise<ControlPlaneClient>
  /** Prints a warning. */
  warn: (text: string) => void
}

export type SyncedWorker = {
  worker: string
  /** Whether a running worker synced, not this process. */
  running: boolean
  codebases: SyncReport
}

/** Syncs sessions once: by the running workers here (the named one, or all), or without any by this process. */
export async function syncSessions(options: SyncSessionsOptions): Promise<SyncedWorker[]> {
  const {context, env} = options
  const {config, stateDir} = context
  const synced: SyncedWorker[] = []
  for (const {name, socket} of await findLocalWorkers(env, stateDir, config.worker_name)) {
    const codebases = await requestSync(socket, options.all)
    if (codebases) synced.push({worker: name, running: true, codebases})
  }

  return synced.length > 0 ? synced : [await syncInProcess(options)]
}

async function syncInProcess(options: SyncSessionsOptions): Promise<SyncedWorker> {
  const {context, env, version, controlPlane, warn} = options
  const {config, stateDir} = context
  const configured = configuredCodebases(options)
  const agentEnv = environmentOfUser(env, findAgentUser(config.agent_user))
  await using client = await controlPlane()
  const scope = config.server_url === undefined ? localScope : undefined
  const {name, workerId, notice} = await identifyWorker({config, stateDir, env, scope})
  if (notice !== undefined) warn(notice)
  const workerDir = makePrivateDirectory(workerDirectory(stateDir, name))
  using _lock = acquireWorkerLock(workerDir, name)
  const bus = new EventBus(systemClock)
  bus.on((event) => {
    if (event.type === 'notice' && event.level === 'warn') warn(event.text)
    if (event.type === 'codebase.refused') warn(`Codebase ${event.name} at ${event.path}: ${event.reason}`)
  })
  const codebases = new Codebases({
    configured,
    global: globalCodebasePath(config, agentEnv, config.server_url === undefined),
    roots: () => registrationRoots(config.registration_roots, configured),
    workerDir,
  })
  const shared = {client, clock: systemClock, workerId}
  const registration = new Registration({
    ...shared,
    instance: randomUUID(),
    name,
    version,
    emit: bus.emit,
    capabilities: config.capabilities,
    slots: config.max_concurrent_tasks,
    features: featuresOf(config),
    stateDir,
    codebases,
    heartbeat: () => ({running: [], free: 0}),
    onCodebasesChanged: () => {},
    onIdTaken: () => {},
  })
  const signal = new AbortController().signal
  await registration.register(signal)
  const token = authToken(config)
  await using sync = new SessionSync({
    ...shared,
    ...sessionSettings(config, {
      env: agentEnv,
      home: agentEnv['HOME'] || homedir(),
      commands: sessionCommands(options),
    }),
    bus,
    secrets: token === undefined ? [] : [token],
    file: join(workerDir, sessionFile),
    directories: () => codebases.directories,
    isDelta: () => registration.has('sessions-delta'),
    register: (until) => registration.register(until),
    active: () => [],
  })
  return {worker: name, running: false, codebases: await sync.syncNow(signal, options)}
}

/** The same codebases as `start` serves: the configured ones, or the current directory. Throws ExpectedError (2). */
function configuredCodebases({context, cwd: given, env}: SyncSessionsOptions): Config['codebases'] {
  const {codebases} = context.config
  if (codebases.length > 0) return codebases
  const cwd = existing(given, 'Or give --codebase PATH.')
  if (cwd === '/' || cwd === env['HOME'])
    throw usageError('No worker runs here and no codebase is configured.', 'Give --codebase PATH.')
  return [{name: cwd.split('/').at(-1) || cwd, path: cwd, description: ''}]
}

/** OpenCode's own session commands. Only needed for an unknown storage format, so a missing OpenCode is no error. */
function sessionCommands({context, env, root}: SyncSessionsOptions): CommandOptions | undefined {
  try {
    const ask = localOpenCode({...context, env, root})
    return {...ask, env: ask.env(ask.directory)}
  } catch {
    return undefined
  }
}
