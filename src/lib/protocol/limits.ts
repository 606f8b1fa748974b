const KiB = 1024
const MiB = 1024 * KiB

/** Bounds that client and server agree on. Sizes in bytes, times in milliseconds. */
export const limits = {
  /** The longest prompt a task may have. */
  prompt: MiB,
  title: 1000,
  /** The most output that one request carries. */
  outputBatch: 64 * KiB,
  /** Bodies: what a stranger's worker may send (full NDJSON as `result`) decides these. */
  jsonBody: 4 * MiB,
  statusBody: 64 * MiB,
  outputBody: 16 * MiB,
  syncBody: 16 * MiB,
  /** Sessions that are kept of one codebase, and messages of one session: the newest. */
  sessions: 5000,
  messages: 2000,
  /** A longer message goes without its parts. */
  message: MiB,
  /** What the messages of one codebase may take; those of the sessions that rested longest go first. */
  codebaseMessages: 128 * MiB,
  /** The result that our own worker reports; a longer one keeps its tail. */
  result: 64 * KiB,
  /** One `data:` line of the task stream; the existing Python worker breaks above 128 KiB. */
  frame: 60 * KiB,
  /** Silence on any SSE stream is never longer than this. */
  keepAlive: 15_000,
  heartbeat: 15_000,
  lease: 60_000,
  /** An offer not taken in this time goes on to the next worker. */
  offer: 10_000,
  /** A worker without leases (the Python one) is lost after this long without a sign of life. */
  silentWorker: 15 * 60_000,
} as const
