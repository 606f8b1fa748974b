import {posix} from 'node:path'

/** One spelling for one path. `~` is the worker's business: only it knows its home. */
export const tidyPath = (path: string) => posix.normalize(path).replace(/(?<=[^/])\/$/, '')
