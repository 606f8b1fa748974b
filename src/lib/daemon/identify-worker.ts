import {existsSync} from 'node:fs'
import type {Environment} from '../config/file.ts'
import {defaultWorkerName, formerWorkers, workerIdentity} from '../config/identity.ts'
import type {Config} from '../config/settings.ts'
import {makePrivateDirectory, workerDirectory} from '../config/state-directory.ts'
import {findLocalWorkers} from '../control/local-workers.ts'

export type WorkerToIdentify = {
  config: Pick<Config, 'worker_name' | 'worker_id'>
  stateDir: string
  env: Environment
  /** For a worker of the local control plane: `localScope`, or the directory of a second one. Part of a default name. */
  scope?: string | undefined
}

/**
 * Name and id of the worker of this state directory. The worker with a default name is taken up again whatever the host
 * is called now. `notice` is for the user. Throws ExpectedError (73).
 */
export async function identifyWorker({
  config,
  stateDir,
  env,
  scope,
}: WorkerToIdentify): Promise<{name: string; workerId: string; notice?: string}> {
  makePrivateDirectory(stateDir)
  const {worker_name: setting, worker_id: workerId} = config
  const defaultFor = scope ?? null
  if (setting !== undefined) return {name: setting, ...workerIdentity({stateDir, name: setting, workerId})}
  const {name, copied} = await findDefaultName(env, stateDir, defaultFor)
  const {notice = copied, ...identity} = workerIdentity({stateDir, name, workerId, defaultFor})
  return {name, ...identity, ...(notice === undefined ? {} : {notice})}
}

type Found = {name: string; copied?: string}

/** A former worker that runs is not ours: containers with one state directory and different host names are different. */
async function findDefaultName(env: Environment, stateDir: string, defaultFor: string | null): Promise<Found> {
  const name = defaultWorkerName(defaultFor)
  if (existsSync(workerDirectory(stateDir, name))) return {name}
  const {names, copied} = formerWorkers(stateDir, defaultFor)
  const [former, another] = names
  if (former === undefined && copied.length > 0) return {name, copied: copyNotice(copied)}
  if (former === undefined || another !== undefined) return {name}
  const running = await findLocalWorkers(env, stateDir, former)
  return {name: running.length > 0 ? name : former}
}

const copyNotice = (copied: readonly string[]) =>
  `The state directory is a copy: it belongs to ${copied.join(', ')}. Its runs are left alone. This worker has an id of its own.`
