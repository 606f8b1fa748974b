import {existsSync} from 'node:fs'
import {hostname} from 'node:os'
import type {ControlPlaneClient} from '../client/control-plane.ts'
import type {Environment} from '../config/file.ts'
import {userFile} from '../config/file.ts'
import {localScope} from '../config/identity.ts'
import {machineId} from '../config/machine-id.ts'
import type {Config, ConfiguredCodebase} from '../config/settings.ts'
import {readLocalControlPlane} from '../config/local-control-plane.ts'
import {isLocalPlane} from '../client/local-plane.ts'
import {findLocalWorkers, type LocalWorker} from '../control/local-workers.ts'
import {sendRequest} from '../control/socket-client.ts'
import {ExpectedError} from '../core/errors.ts'
import {featuresOf} from '../protocol/features.ts'
import {systemLayout, unitFile} from '../service/machine/layout.ts'
import type {Codebase} from '../protocol/schemas.ts'
import {workingTreeOf} from '../worker/locks/working-tree.ts'
import {identifyWorker} from './identify-worker.ts'

export type RegisterOptions = {
  context: {config: Config; stateDir: string}
  env: Environment
  version: string
  isDryRun: boolean
  controlPlane: () => Promise<ControlPlaneClient>
  print: (text: string) => void
}

export type RegisterResult = {path: string; codebase: Codebase | null; file: string; worker: string | null}

/**
 * Registers a codebase with the running worker of this machine: the named one, or the only one. Without such a worker,
 * registers the codebase and its worker with the control plane. In both cases the codebase is written to this user's
 * configuration file. Throws ExpectedError (77) if the worker is a service, because its unit must be changed.
 */
export async function registerCodebase(
  codebase: ConfiguredCodebase,
  options: RegisterOptions,
): Promise<RegisterResult> {
  const {context, env, print, isDryRun} = options
  const {config, stateDir} = context
  const file = userFile(env)
  const running = await findLocalWorkers(env, stateDir, config.worker_name)
  const worker = running.length === 1 ? running[0] : undefined
  if (worker?.isService) throw serviceWorkerError(worker, codebase)
  if (isDryRun) {
    print(
      worker
        ? `Would ask the running worker ${worker.name} (pid ${worker.pid}) to serve ${codebase.path}.`
        : `Would register ${codebase.path} with the control plane.`,
    )
    print(`Would write the codebase to ${file}.`)
    return {path: codebase.path, codebase: null, file, worker: worker?.name ?? null}
  }

  // Open the file first, so that no codebase is registered that the next start would not serve.
  const {openUserConfig} = await import('../config/user-config.ts')
  const userConfig = openUserConfig(env)
  let registered: Codebase | null = null
  if (worker) {
    await sendRequest(worker.socket, {op: 'add-codebase', ...codebase})
    print(`The running worker ${worker.name} (pid ${worker.pid}) now serves ${codebase.path}.`)
  } else {
    registered = await registerIfThere(codebase, options)
    print(
      registered
        ? `Registered codebase '${registered.name}' (ID: ${registered.id}) at ${codebase.path}.`
        : `No worker runs on this machine now: the next \`a2a-worker start\` serves ${codebase.path}.`,
    )
    if (running.length > 1)
      print(
        `Several workers run here (${running.map(({name}) => name).join(', ')}). Give --name to let one serve it at once.`,
      )
  }

  print(userConfig.add(codebase) ? `Written to ${file}.` : `${file} already contains it.`)
  return {path: codebase.path, codebase: registered, file, worker: worker?.name ?? null}
}

/** Without a server, the control plane of this machine runs only while a worker does. Then there is nothing to do yet. */
async function registerIfThere(codebase: ConfiguredCodebase, options: RegisterOptions): Promise<Codebase | null> {
  const {config, stateDir} = options.context
  if (config.server_url === undefined) {
    const local = readLocalControlPlane(stateDir)
    if (!local || !(await isLocalPlane(local))) return null
  }

  return await registerWithControlPlane(codebase, options)
}

/** A service sees only the part of the file system that its unit binds, and it has its own configuration. */
function serviceWorkerError({name}: LocalWorker, codebase: ConfiguredCodebase): ExpectedError {
  const instance = existsSync(unitFile(systemLayout(name))) ? ` --name ${name}` : ''
  return new ExpectedError(`The worker ${name} is a service. Its sandbox must be opened for ${codebase.path}.`, {
    code: 'SERVICE_WORKER',
    exit: 'refused',
    suggestions: [
      `Run: sudo a2a-worker install-service${instance} --codebase '${codebase.name}:${codebase.path}' --start`,
    ],
  })
}

type WithControlPlane = Omit<RegisterOptions, 'isDryRun'> & {
  /** Of the worker: see `identifyWorker`. Default: that of `start`. */
  scope?: string
}

/** Registers a codebase, and its worker if it is new, with the control plane. */
export async function registerWithControlPlane(
  codebase: ConfiguredCodebase,
  {context, env, version, controlPlane, print, ...options}: WithControlPlane,
): Promise<Codebase> {
  const {config, stateDir} = context
  const scope = options.scope ?? (config.server_url === undefined ? localScope : undefined)
  const {name, workerId, notice} = await identifyWorker({config, stateDir, env, scope})
  if (notice !== undefined) print(notice)
  await using client = await controlPlane()
  const known = await client.workers()
  if (!known.some(({worker_id: id}) => id === workerId))
    await client.registerWorker({
      worker_id: workerId,
      name,
      version,
      hostname: hostname(),
      machine_id: machineId(),
      capabilities: [...config.capabilities],
      max_concurrent_tasks: config.max_concurrent_tasks,
      features: featuresOf(config),
    })
  return await client.registerCodebase({
    ...codebase,
    worker_id: workerId,
    tree: workingTreeOf(codebase.path, stateDir).key,
  })
}
