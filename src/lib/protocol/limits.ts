const KiB = 1024
const MiB = 1024 * KiB

/** Limits that worker and control plane share. Sizes in bytes, times in milliseconds. */
export const limits = {
  /** Maximum size of a prompt. */
  prompt: MiB,
  title: 1000,
  /** Maximum length of other fields of requests, in UTF-16 units. */
  id: 200,
  name: 200,
  path: 4096,
  /** A text for people: a description, a reason. */
  note: 4096,
  /** Metadata of a task, settings of a codebase: as JSON. */
  object: 256 * KiB,
  /** Maximum number of entries of a list: capabilities, features, models, codebases. */
  listed: 1000,
  /** Requests per second of a token or an address, unless the control plane is told otherwise. */
  requests: 2000,
  /** Open streams of a token or an address, unless the control plane is told otherwise. */
  streams: 1000,
  /** Open streams of a worker's token: it needs one, and its people some more. */
  workerStreams: 50,
  /** Codebases of one worker. */
  codebases: 1000,
  /** An answer with a list ends at about this size. The next page has the rest. */
  page: 8 * MiB,
  /** A value of JSON may be nested this deep. */
  depth: 100,
  /** Of a longer error, the start is stored: it is in lists and in events of all who follow the codebase. */
  error: 64 * KiB,
  /** Maximum output per request. */
  outputBatch: 64 * KiB,
  /** Maximum stored output of one task, unless the control plane is told otherwise. */
  taskOutput: 256 * MiB,
  /** Maximum request bodies. The existing worker sends complete NDJSON output as `result`. */
  jsonBody: 4 * MiB,
  statusBody: 64 * MiB,
  outputBody: 16 * MiB,
  syncBody: 16 * MiB,
  /** Bodies of all requests at once, at a control plane. */
  bodies: 256 * MiB,
  /** The newest sessions per codebase, and messages per session, are stored. */
  sessions: 5000,
  messages: 2000,
  /** A longer message is stored without its parts. */
  message: MiB,
  /** Maximum size of a codebase's messages. Those of the longest unchanged sessions are removed first. */
  codebaseMessages: 128 * MiB,
  /** Maximum size of a result that our worker reports. Of a longer one the end is sent. */
  result: 64 * KiB,
  /** The data of one event of the task stream. The existing worker (aiohttp) breaks at a line of more than 128 KiB. */
  frame: 127 * KiB,
  /** Interval of keep-alives on every SSE stream. */
  keepAlive: 15_000,
  /** Within this time a client must have sent its headers. */
  headers: 10_000,
  heartbeat: 15_000,
  lease: 60_000,
  /** A worker answers in this time when another process announces itself with its id. Shorter than a heartbeat. */
  instanceCheck: 5000,
  /** An assignment that its worker does not confirm in this time lapses. */
  confirm: 10_000,
  /** Tasks that may wait at a control plane. Each takes memory. */
  pendingTasks: 100_000,
  /** An offer that is not claimed in this time goes to another worker. */
  offer: 10_000,
  /** A worker without leases (the Python one) is lost after this long without a request. */
  silentWorker: 15 * 60_000,
  /** A cancellation that a worker without leases does not confirm counts after this long: nothing can stop its run. */
  unstoppable: 30_000,
} as const
