import {realpathSync} from 'node:fs'

/** The path without symbolic links, or the path itself if it does not exist. */
export function realPathOf(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    return path
  }
}

/** Whether a path is the folder or below it. Both must be real paths. */
export const isInside = (path: string, folder: string): boolean =>
  `${path}/`.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
