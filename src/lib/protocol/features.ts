/**
 * Features that our worker and our control plane exchange at registration. The existing worker and server ignore the
 * lists. Each name is a promise of the side that sends it.
 */
export const workerFeatures = [
  /** Heartbeats list active tasks. Claims are leases. */
  'lease',
  /** Declines offers that it cannot take. */
  'decline',
  /** Reads the task before it runs it, so a frame may omit the prompt. */
  'fetch',
  /** Takes a task that it is assigned as its own, and confirms that. */
  'assign',
  /** Reports what the agents of its runs ask, and passes on what people say to them. */
  'input',
] as const

/** The worker takes only what is signed: tasks, answers and messages. Sent by workers with `verify_tasks: require`. */
export const signedOnly = 'signed-only'

/** The features of a worker with these settings. */
export const featuresOf = ({verify_tasks}: {verify_tasks: string}): string[] => [
  ...workerFeatures,
  ...(verify_tasks === 'require' ? [signedOnly] : []),
]

export const serverFeatures = [
  'lease',
  /** Output is stored by attempt and offset. A repeated batch is dropped. */
  'output-offset',
  /** Accepts output as a raw body. */
  'output-raw',
  /** A claim sets the task to `running` and returns it. */
  'claim-task',
  /** `GET /tasks?worker_id=` returns the tasks that this worker may take. */
  'task-scope',
  'decline',
  /** The final report may contain the last output. */
  'final-output',
  /** Sessions and messages may be synced by changes: `partial`, with the ids of `deleted` ones. */
  'sessions-delta',
  /** Assigns tasks to workers that take assignments: the frame is the lease. A claim with `attempt` confirms it. */
  'assign',
  /** Stores open questions of runs, and delivers what people say to them. */
  'input',
] as const

export type ServerFeature = (typeof serverFeatures)[number]
