import {constants, readdirSync, readFileSync} from 'node:fs'

/** A pipe that somebody has put in place of a file must not be waited for. */
const flag = constants.O_RDONLY | constants.O_NONBLOCK

/** The text of a file, or undefined if it is missing or not readable: both mean that it says nothing. */
export function readIfThere(path: string, encoding: 'utf8' | 'latin1' = 'utf8'): string | undefined {
  try {
    return readFileSync(path, {encoding, flag})
  } catch {
    return undefined
  }
}

/** The names in a folder. None if it is missing or not readable. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
