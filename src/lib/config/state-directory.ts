import {accessSync, constants, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync} from 'node:fs'
import {homedir} from 'node:os'
import {join} from 'node:path'
import {isDiskFull, failureReason} from '../core/disk-full.ts'
import {ExpectedError} from '../core/errors.ts'
import type {Environment} from './file.ts'

/**
 * Path of the state directory: the setting, or systemd's `STATE_DIRECTORY`, or `~/.local/state/a2a-worker`. systemd
 * joins several directories by colons; ours is the first. Creates nothing.
 */
export function stateDirectory(env: Environment, setting?: string): string {
  const systemd = env['STATE_DIRECTORY']?.split(':')[0]
  const base = env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local', 'state')
  return setting || env['A2A_STATE_DIR'] || systemd || join(base, 'a2a-worker')
}

/** Creates a private directory (0700) and its parents. Returns the path. Throws ExpectedError (73). */
export function makePrivateDirectory(path: string): string {
  try {
    mkdirSync(path, {recursive: true, mode: 0o700})
    return path
  } catch (error) {
    throw cannotWriteError(path, error)
  }
}

/** An error with exit code 73, the path and a suggestion. */
export const cannotWriteError = (path: string, error: unknown) =>
  new ExpectedError(`Cannot write to ${path}: ${failureReason(error)}.`, {
    code: 'CANNOT_WRITE',
    exit: 'cannotWrite',
    suggestions: [
      isDiskFull(error)
        ? 'Free space on that disk, or choose another directory with A2A_STATE_DIR.'
        : 'Let this user write there, or choose another directory with A2A_STATE_DIR.',
    ],
    cause: error,
    isMachineFault: true,
  })

/** Replaces a private file (0600) atomically. Throws ExpectedError (73). */
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

/** The parsed JSON of a state file; undefined if the file is missing, unreadable or damaged. */
export function readStateJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown
  } catch {
    return undefined
  }
}

/** The state folder of one worker. Names are safe in a path, because they are checked when settings are resolved. */
export const workerDirectory = (stateDir: string, name: string) => join(stateDir, 'workers', name)

/** Whether this user may write to the folder. */
export function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Whether the folder belongs to this user, and only this user may write to it, as a runtime directory must (XDG). */
export function isOurs(folder: string): boolean {
  try {
    const {uid, mode} = statSync(folder)
    return uid === process.getuid?.() && (mode & 0o022) === 0
  } catch {
    return false
  }
}
