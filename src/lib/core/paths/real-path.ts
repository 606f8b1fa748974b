import {realpathSync} from 'node:fs'

/** The path without symbolic links, or the path itself if it does not exist. */
export function realPathOf(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    return path
  }
}
