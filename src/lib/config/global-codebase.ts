import {homedir} from 'node:os'
import type {Environment} from './file.ts'
import type {Config} from './settings.ts'

/**
 * Where tasks and sessions belong that are of no codebase; undefined where nobody wants them. They are taken for a server
 * that somebody named; on this machine alone nobody asks for them.
 */
export function globalCodebasePath(config: Config, env: Environment, isLocal: boolean): string | undefined {
  const path = config.global_codebase ?? (isLocal ? 'none' : env['HOME'] || homedir())
  return path === 'none' ? undefined : path
}
