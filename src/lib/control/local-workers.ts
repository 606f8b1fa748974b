import {readdirSync} from 'node:fs'
import {join} from 'node:path'
import type {Environment} from '../config/file.ts'
import {errorCode} from '../core/errors.ts'
import type {WorkerStatus} from './messages.ts'
import {workerStatus} from './socket-client.ts'
import {socketPath} from './socket-path.ts'

/** A worker that answers at this socket, or one of which only that much is known: it is another user's. */
export type LocalWorker = {socket: string; name: string; status: WorkerStatus | undefined}

/** Where a system service has its sockets (RuntimeDirectory=a2a-worker). */
const serviceDirectory = '/run/a2a-worker'

/** The workers of this user that run now, as they tell over their sockets. */
export async function localWorkers(env: Environment, stateDir: string, name?: string): Promise<WorkerStatus[]> {
  const found = await findWorkers(env, stateDir, name)
  return found.flatMap(({status}) => status ?? [])
}

/** The same with their sockets, and those that this user may not ask. A state directory of one's own stands alone. */
export async function findWorkers(
  env: Environment,
  stateDir: string,
  name?: string,
  services = env['A2A_STATE_DIR'] ? undefined : serviceDirectory,
): Promise<LocalWorker[]> {
  const names = name === undefined ? namesIn(join(stateDir, 'workers')) : [name]
  const ours = names.map((known) => ({name: known, socket: socketPath(env, stateDir, known)}))
  const served = (services === undefined ? [] : namesIn(services))
    .filter((file) => file.endsWith('.sock') && (name === undefined || file === `${name}.sock`))
    .map((file) => ({name: file.slice(0, -'.sock'.length), socket: join(services ?? '', file)}))
  const all = new Map([...served, ...ours].map((worker) => [worker.socket, worker]))
  const looked = await Promise.all([...all.values()].map((worker) => look(worker)))
  return looked.filter((worker) => worker !== undefined)
}

async function look(worker: {name: string; socket: string}): Promise<LocalWorker | undefined> {
  try {
    const status = await workerStatus(worker.socket)
    return status && {...worker, status}
  } catch (error) {
    return errorCode(error) === 'EACCES' ? {...worker, status: undefined} : undefined
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
