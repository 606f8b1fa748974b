import type {Task} from './schemas.ts'

/** Whether the task is assigned to this worker: it holds it already, and must confirm that. */
export const isAssignedTo = ({status, worker_id}: Pick<Task, 'status' | 'worker_id'>, workerId: string): boolean =>
  status === 'assigned' && worker_id === workerId
