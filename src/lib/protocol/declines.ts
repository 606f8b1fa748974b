/**
 * The reasons with which a worker declines to register a path on its machine. Another worker may have the path, so the
 * control plane asks the next one. The existing worker fails such a task with the first text.
 */
export const pathMissing = 'Path does not exist on this worker'
export const pathNotAllowed = 'Path is not allowed on this worker'

/** Whether a reason means that the worker cannot register the path. */
export const isPathDecline = (reason: string | null | undefined): boolean =>
  [pathMissing, pathNotAllowed].some((words) => reason?.startsWith(words) ?? false)
