import {homedir} from 'node:os'
import type {Environment} from './file.ts'
import type {Config} from './settings.ts'

/**
 * The directory for tasks and sessions without a codebase; undefined if the worker does not take them. By default the
 * worker takes them only from a configured server, not from the local control plane (`isLocal`).
 */
export function globalCodebasePath(config: Config, env: Environment, isLocal: boolean): string | undefined {
  const path = config.global_codebase ?? (isLocal ? 'none' : env['HOME'] || homedir())
  return path === 'none' ? undefined : path
}
