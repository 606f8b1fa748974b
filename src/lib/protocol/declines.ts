/**
 * How a worker says that a path cannot be registered on its machine. Another worker may well have it, so the control
 * plane asks the next one. The first are the words with which the existing worker fails such a task.
 */
export const pathMissing = 'Path does not exist on this worker'
export const pathNotAllowed = 'Path is not allowed on this worker'

/** Is this the reason of a worker that cannot register a path? */
export const isPathDecline = (reason: string | null | undefined): boolean =>
  [pathMissing, pathNotAllowed].some((words) => reason?.startsWith(words) ?? false)
