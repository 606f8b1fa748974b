import type {ControlPlaneClient} from './control-plane.ts'
import {listWorkers} from './list-workers.ts'
import {readTasks, type TaskFilter, type TaskListing} from './read-tasks.ts'
import {findWorkerId} from './short-id.ts'

/** Like `readTasks`. The filter may name a worker by the beginning of its id, or by its name. */
export async function listTasks(client: ControlPlaneClient, filter: TaskFilter, limit: number): Promise<TaskListing> {
  const listing = await readTasks(client, filter, limit)
  const {worker_id: given} = filter
  if (given === undefined || listing.tasks.length > 0) return listing
  const id = await findWorkerId(client, given)
  return id === undefined || id === given ? listing : await readTasks(client, {...filter, worker_id: id}, limit)
}

/** The names of codebases and workers by id. Empty if they cannot be read: the ids are shown then. */
export async function nameTasks(client: ControlPlaneClient) {
  const [codebases, workers] = await Promise.all([
    client.codebases().catch(() => []),
    listWorkers(client, Date.now()).catch(() => []), // also those that have ended
  ])
  return {
    codebases: new Map(codebases.flatMap(({id, aliases = [], name}) => [id, ...aliases].map((key) => [key, name]))),
    workers: new Map(workers.map(({id, name}) => [id, name])),
  }
}
