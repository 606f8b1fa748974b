import {existsSync} from 'node:fs'
import {hostname} from 'node:os'
import type {ControlPlaneClient} from '../client/control-plane.ts'
import type {Environment} from '../config/file.ts'
import {userFile} from '../config/file.ts'
import {defaultWorkerName, workerIdentity} from '../config/identity.ts'
import type {Config, ConfiguredCodebase} from '../config/settings.ts'
import {localWorkers, type LocalWorker} from '../control/local-workers.ts'
import {ask} from '../control/socket-client.ts'
import {ExpectedError} from '../core/errors.ts'
import {workerFeatures} from '../protocol/features.ts'
import {systemLayout, unitFile} from '../service/machine/layout.ts'
import type {Codebase} from '../protocol/schemas.ts'
import {workingTreeOf} from '../worker/locks/working-tree.ts'

export type RegisterOptions = {
  context: {config: Config; stateDir: string}
  env: Environment
  version: string
  isDryRun: boolean
  controlPlane: () => Promise<ControlPlaneClient>
  tell: (text: string) => void
}

export type Registered = {path: string; codebase: Codebase | null; file: string; worker: string | null}

/**
 * Gives a codebase to the worker of this machine that runs (the named one, or the only one), else registers it and
 * the worker with the control plane; either way it is kept in this user's configuration file. Throws ExpectedError (77)
 * where that worker is a service, whose unit has to be changed.
 */
export async function registerCodebase(codebase: ConfiguredCodebase, options: RegisterOptions): Promise<Registered> {
  const {context, env, tell, isDryRun} = options
  const {config, stateDir} = context
  const file = userFile(env)
  const running = await localWorkers(env, stateDir, config.worker_name)
  const worker = running.length === 1 ? running[0] : undefined
  if (worker?.isService) throw isService(worker, codebase)
  if (isDryRun) {
    tell(
      worker
        ? `Would ask the running worker ${worker.name} (pid ${worker.pid}) to serve ${codebase.path}.`
        : `Would register ${codebase.path} with the control plane.`,
    )
    tell(`Would write it to ${file}.`)
    return {path: codebase.path, codebase: null, file, worker: worker?.name ?? null}
  }

  // First, so that nothing is registered that the next start would not know of.
  const {openUserConfig} = await import('../config/user-config.ts')
  const userConfig = openUserConfig(env)
  let registered: Codebase | null = null
  if (worker) {
    await ask(worker.socket, {op: 'add-codebase', ...codebase})
    tell(`The running worker ${worker.name} (pid ${worker.pid}) serves ${codebase.path} from now on.`)
  } else {
    registered = await withServer(codebase, options)
    tell(`Registered codebase '${registered.name}' (ID: ${registered.id}) at ${codebase.path}.`)
    if (running.length > 1)
      tell(
        `Several workers run here (${running.map(({name}) => name).join(', ')}); give --name to have one serve it at once.`,
      )
  }

  tell(userConfig.add(codebase) ? `Written to ${file}.` : `${file} has it already.`)
  return {path: codebase.path, codebase: registered, file, worker: worker?.name ?? null}
}

/** A service sees no more of the file system than its unit shows it, and reads a configuration of its own. */
function isService({name}: LocalWorker, codebase: ConfiguredCodebase): ExpectedError {
  const instance = existsSync(unitFile(systemLayout(name))) ? ` --name ${name}` : ''
  return new ExpectedError(`The worker ${name} is a service, whose sandbox has to be opened for ${codebase.path}.`, {
    code: 'SERVICE_WORKER',
    exit: 'refused',
    suggestions: [
      `Run: sudo a2a-worker install-service${instance} --codebase '${codebase.name}:${codebase.path}' --start`,
    ],
  })
}

async function withServer(
  codebase: ConfiguredCodebase,
  {context, version, controlPlane}: RegisterOptions,
): Promise<Codebase> {
  const {config, stateDir} = context
  const name = config.worker_name ?? defaultWorkerName()
  const workerId = workerIdentity(stateDir, name, config.worker_id)
  await using client = await controlPlane()
  const known = await client.workers()
  if (!known.some(({worker_id: id}) => id === workerId))
    await client.registerWorker({
      worker_id: workerId,
      name,
      version,
      hostname: hostname(),
      capabilities: [...config.capabilities],
      max_concurrent_tasks: config.max_concurrent_tasks,
      features: [...workerFeatures],
    })
  return await client.registerCodebase({
    ...codebase,
    worker_id: workerId,
    tree: workingTreeOf(codebase.path, stateDir).key,
  })
}
