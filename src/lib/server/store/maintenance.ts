/** What retention removes from a store. Each call takes a short time only. */
export interface Maintenance {
  /** Size of the stored output of all ended tasks, in UTF-16 units. */
  storedChars(): number
  /** The task that ended first, of those with stored output. */
  oldestOutput(): {task_id: string; completed_at: string} | undefined
  /**
   * Drops about this many bytes from the beginning of a task's output. When none is left, also shortens the result to
   * what lists show. Returns how much was dropped.
   */
  dropOutput(taskId: string, bytes: number): number
  /** Removes some of the oldest entries of the audit, if they are over a limit. Returns whether there may be more. */
  pruneAudit(limits: {before: string; maxRows: number}): boolean
  /** Removes some tasks that ended before this time, with their output. Returns whether there may be more. */
  pruneTasks(before: string): boolean
  /** How many tasks ended before this time. */
  countEnded(before: string): number
  /** Forgets Idempotency-Keys from before this time. */
  forgetRequests(before: string): void
  /** Writes down when workers were seen last, which is in memory only: of those written down so long ago, in ms. */
  saveContacts(olderThanMs: number): void
}
