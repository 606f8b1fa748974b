/** The records of the server, and the shapes in which it shows them. */

export type Worker = {worker_id: string; name: string; last_seen: Date} & Record<string, unknown>

export type Codebase = {
  id: string
  name: string
  path: string
  description: string
  worker_id: string | null
  /** In the database, too, because its owner was registered before it. */
  isStored: boolean
}

export type Task = {
  id: string
  codebase_id: string
  title: string
  prompt: string
  agent_type: string
  model: string | null
  status: string
  priority: number
  metadata: Record<string, unknown>
  worker_id: string | null
  session_id: string | null
  result: string | null
  error: string | null
  created_at: Date
  started_at: Date | null
  completed_at: Date | null
  updated_at: Date
  isStored: boolean
}

export type Chunk = {output: string; timestamp: string; worker_id: string}

/** A time from memory: UTC without a zone. */
const naive = (date: Date | null) => date && `${date.toISOString().slice(0, -1)}000`
/** A time from the database. */
const zoned = (date: Date | null) => date && `${date.toISOString().slice(0, -1)}000+00:00`

export const workerView = ({last_seen, ...worker}: Worker) => ({
  ...worker,
  last_seen: naive(last_seen),
  status: 'active',
})

export const codebaseView = ({isStored: _, ...codebase}: Codebase) => ({
  ...codebase,
  registered_at: naive(new Date()),
  agent_config: {},
  last_triggered: null,
  status: 'idle',
  opencode_port: null,
  session_id: null,
  watch_mode: false,
  watch_interval: 5,
})

/** A single task: no `worker_id`. */
export const taskView = (task: Task) => {
  const {id, codebase_id, title, prompt, agent_type, model, status, priority, session_id, result, error} = task
  return {
    ...{id, codebase_id, title, prompt, agent_type, model, status, priority, session_id, result, error},
    metadata: task.metadata,
    created_at: naive(task.created_at),
    started_at: naive(task.started_at),
    completed_at: naive(task.completed_at),
  }
}

/** A task in a list: a row of the database, without `model` and `session_id`. */
export const taskRow = (task: Task) => {
  const {id, codebase_id, title, prompt, agent_type, status, priority, worker_id, result, error, metadata} = task
  return {
    ...{id, codebase_id, title, prompt, agent_type, status, priority, worker_id, result, error, metadata},
    created_at: zoned(task.created_at),
    started_at: zoned(task.started_at),
    completed_at: zoned(task.completed_at),
    updated_at: zoned(task.updated_at),
  }
}

/** A task as `trigger` pushes it. */
export const shapeA = (task: Task) => {
  const {id, codebase_id, title, prompt, agent_type, status, priority, metadata, worker_id} = task
  return {id, codebase_id, title, prompt, agent_type, status, priority, metadata, worker_id}
}

/** A task as all other routes push it: no `prompt`, no `metadata`. */
export const shapeB = (task: Task) => {
  const {id, title, prompt, codebase_id, agent_type, model, priority, status, created_at} = task
  return {
    id,
    title,
    description: prompt,
    codebase_id,
    agent_type,
    model,
    priority,
    status,
    created_at: naive(created_at),
  }
}
