import {accessSync, constants, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs'
import {homedir} from 'node:os'
import {join} from 'node:path'
import {isDiskFull, reasonOf} from '../core/disk-full.ts'
import {ExpectedError} from '../core/errors.ts'
import type {Environment} from './file.ts'

/**
 * Where state is kept: the setting, else systemd's `STATE_DIRECTORY` (several are joined by colons; ours is the
 * first), else `~/.local/state/a2a-worker`. Only the path: nothing is made.
 */
export function stateDirectory(env: Environment, setting?: string): string {
  const systemd = env['STATE_DIRECTORY']?.split(':')[0]
  const base = env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local', 'state')
  return setting || env['A2A_STATE_DIR'] || systemd || join(base, 'a2a-worker')
}

/** Makes a private directory (0700) and its parents. Throws ExpectedError (73) where that is not possible. */
export function makePrivateDirectory(path: string): string {
  try {
    mkdirSync(path, {recursive: true, mode: 0o700})
    return path
  } catch (error) {
    throw cannotWriteError(path, error)
  }
}

/** Exit 73, with the path and the way out. */
export const cannotWriteError = (path: string, error: unknown) =>
  new ExpectedError(`Cannot write to ${path}: ${reasonOf(error)}.`, {
    code: 'CANNOT_WRITE',
    exit: 'cannotWrite',
    suggestions: [
      isDiskFull(error)
        ? 'Make room on that disk, or choose another directory with A2A_STATE_DIR.'
        : 'Give this user the right to write there, or choose another directory with A2A_STATE_DIR.',
    ],
    cause: error,
  })

/** Replaces a private file (0600) whole: a reader sees the old text or the new one. Throws ExpectedError (73). */
export function writePrivateFile(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, text, {mode: 0o600, flush: true})
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, {force: true})
    throw cannotWriteError(path, error)
  }
}

/** The JSON in a file of ours, or undefined when there is none that can be read. */
export function readStateJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown
  } catch {
    return undefined
  }
}

/** The folder of one worker. Names are checked when settings are resolved, so they are safe in a path. */
export const workerDirectory = (stateDir: string, name: string) => join(stateDir, 'workers', name)

/** May this user write there? */
export function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}
