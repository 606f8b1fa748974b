import {statSync} from 'node:fs'
import {messageOf} from '../../core/errors.ts'

/** Why a path cannot be a working directory, or undefined if it can. */
export function directoryProblem(path: string): string | undefined {
  try {
    return statSync(path).isDirectory() ? undefined : 'it is not a directory'
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'the path does not exist' : messageOf(error)
  }
}
