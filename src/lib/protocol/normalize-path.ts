import {posix} from 'node:path'

/** One spelling for one path. `~` is the worker's business: only it knows its home. */
export const normalizePath = (path: string) => posix.normalize(path).replace(/(?<=[^/])\/$/, '')
