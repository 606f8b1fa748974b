import type {StoredTask} from './records.ts'

/** A task with what most events need. */
export type TaskFacts = Pick<StoredTask, 'id' | 'title' | 'codebase_id' | 'worker_id' | 'attempt'>

/** What most events say of a task. */
export const factsOf = ({id, title, codebase_id, worker_id, attempt}: StoredTask): TaskFacts => ({
  id,
  title,
  codebase_id,
  worker_id,
  attempt,
})
