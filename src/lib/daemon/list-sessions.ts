import {existsSync, realpathSync} from 'node:fs'
import {homedir} from 'node:os'
import {isAbsolute, resolve} from 'node:path'
import type {Environment} from '../config/file.ts'
import type {Config} from '../config/settings.ts'
import {existing} from '../core/paths/current-directory.ts'
import {ExpectedError} from '../core/errors.ts'
import {nearestNames} from '../core/text/nearest.ts'
import type {SessionScope} from '../opencode/storage/agent-session.ts'
import {findStorage} from '../opencode/storage/session-storage.ts'
import {SessionReader} from '../sessions/session-reader.ts'
import {wireSession, type WireSession} from '../sessions/wire-session.ts'

export type ListOptions = {
  config: Config
  env: Environment
  /** Undefined if the current directory has been deleted. */
  cwd: string | undefined
  /** Name or path of a configured codebase, or any directory. Undefined: all sessions. */
  codebase: string | undefined
  limit: number
}

/**
 * The newest sessions in OpenCode's storage on this machine. Throws ExpectedError (2) for an unknown codebase, and
 * StorageProblem.
 */
export async function listLocalSessions(options: ListOptions): Promise<WireSession[]> {
  const {config, env, limit} = options
  const scope = sessionScope(options)
  const home = env['HOME'] || homedir()
  const storage = await findStorage({setting: config.opencode_storage_path, env, home})
  if (!storage) return []
  await using reader = new SessionReader({secrets: [], patterns: [], commands: undefined})
  const {sessions} = await reader.read('list', storage, {scope, maxSessions: limit})
  return sessions.map(wireSession)
}

function sessionScope({config, codebase, cwd}: ListOptions): SessionScope {
  if (codebase === undefined) return {outside: []}
  const known = config.codebases.find(({name, path}) => name === codebase || path === codebase)
  const path =
    known?.path ?? (isAbsolute(codebase) ? codebase : resolve(existing(cwd, 'Or give an absolute path.'), codebase))
  // OpenCode records the real path. A removed directory may still have sessions.
  if (existsSync(path)) return {inside: [realpathSync(path)]}
  if (known || codebase.startsWith('/')) return {inside: [path]}
  const near = nearestNames(
    codebase,
    config.codebases.map(({name}) => name),
  )
  throw new ExpectedError(`There is no codebase or directory ${codebase}.`, {
    code: 'UNKNOWN_CODEBASE',
    exit: 'usage',
    suggestions: [near.length > 0 ? `Did you mean ${near.join(', ')}?` : 'Give the path of a directory.'],
  })
}
