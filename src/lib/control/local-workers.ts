import {readdirSync} from 'node:fs'
import {join} from 'node:path'
import type {Environment} from '../config/file.ts'
import {errorCode} from '../core/errors.ts'
import type {WorkerStatus} from './messages.ts'
import {fetchWorkerStatus} from './socket-client.ts'
import {readingSocket, serviceSocketDir, socketPath} from './socket-path.ts'
import {namesIn} from '../core/paths/read-if-there.ts'

export type LocalWorker = WorkerStatus & {
  socket: string
  /** Whether it runs as a service of the machine. */
  isService: boolean
}

/**
 * Finds the running workers of this machine that this user may query over their sockets: the user's own workers, and
 * services for root and the members of their group. With `name`, only the workers with that name.
 */
export async function findLocalWorkers(
  env: Environment,
  stateDir: string,
  name?: string,
  services = serviceSocketDir,
): Promise<LocalWorker[]> {
  const names = name === undefined ? namesIn(join(stateDir, 'workers')) : [name]
  const userSockets = names.map((known) => socketPath(env, stateDir, known))
  const serviceSocket = (known: string) => socketPath({RUNTIME_DIRECTORY: services}, stateDir, known)
  const serviceSockets =
    name === undefined
      ? namesIn(services)
          .filter((file) => file.endsWith('.sock') && !file.endsWith('.read.sock'))
          .map((file) => join(services, file))
      : [serviceSocket(name)]
  const workers = await Promise.all(
    [...new Set([...userSockets, ...serviceSockets])].map(async (socket) => {
      const isService = serviceSockets.includes(socket)
      const found = (await answerOf(socket)) ?? (isService ? await answerOf(readingSocket(socket)) : undefined)
      return found && {...found, isService}
    }),
  )
  return workers.filter((answer) => answer !== undefined)
}

async function answerOf(socket: string): Promise<(WorkerStatus & {socket: string}) | undefined> {
  const status = await fetchWorkerStatus(socket).catch(() => undefined)
  return status && {...status, socket}
}

/** The running workers with this name. Without one, those whose name or id begins with it. */
export async function findNamedWorkers(env: Environment, stateDir: string, given?: string): Promise<LocalWorker[]> {
  const named = await findLocalWorkers(env, stateDir, given)
  if (given === undefined || given === '' || named.length > 0) return named
  const all = await findLocalWorkers(env, stateDir)
  return all.filter(({name, worker_id: id}) => name.startsWith(given) || id.startsWith(given))
}

/** Whether services run on this machine that this user may not query. */
export function areServicesInaccessible(services = serviceSocketDir): boolean {
  try {
    readdirSync(services)
    return false
  } catch (error) {
    return errorCode(error) === 'EACCES'
  }
}
