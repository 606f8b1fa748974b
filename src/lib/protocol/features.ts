/**
 * What two of our own halves tell each other at registration; an existing worker or server ignores the lists.
 * Each name is a promise of the side that sends it.
 */
export const workerFeatures = [
  /** Heartbeats carry what runs; claims are leases. */
  'lease',
  /** Gives back an offer that it cannot take. */
  'decline',
  /** Reads the task before acting, so a frame may leave the prompt out. */
  'fetch',
] as const

export const serverFeatures = [
  'lease',
  /** Output is stored by attempt and offset; a repeated batch is dropped. */
  'output-offset',
  /** Output may come as a raw body. */
  'output-raw',
  /** A claim moves the task to `running` and answers with it. */
  'claim-task',
  /** `GET /tasks?worker_id=` means the tasks that this worker may take. */
  'task-scope',
  'decline',
  /** The final report may bring the last of the output along. */
  'final-output',
  /** Sessions and messages may be synced by what changed: `partial`, with the ids of what was `deleted`. */
  'sessions-delta',
] as const

export type ServerFeature = (typeof serverFeatures)[number]
