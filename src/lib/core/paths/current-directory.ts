import {errorCode, usageError} from '../errors.ts'

/** The current directory of the process. Undefined if it has been deleted. */
export function currentDirectory(): string | undefined {
  try {
    return process.cwd()
  } catch {
    return undefined
  }
}

const deletedDirectory = (suggestion: string) =>
  usageError('The current directory has been deleted.', `Change to a directory that exists. ${suggestion}`.trim())

/** Throws ExpectedError (2) if the current directory is needed, but has been deleted. */
export function existing(directory: string | undefined, suggestion: string): string {
  if (directory === undefined) throw deletedDirectory(suggestion)
  return directory
}

/** What to tell if an error comes from a deleted current directory, against which a relative path was resolved. */
export const deletedDirectoryProblem = (error: Error) =>
  errorCode(error) === 'ENOENT' && 'syscall' in error && error.syscall === 'uv_cwd'
    ? deletedDirectory('Or give absolute paths.')
    : undefined
