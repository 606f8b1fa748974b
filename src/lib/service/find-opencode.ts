import type {Environment} from '../config/file.ts'
import {messageOf} from '../core/errors.ts'
import {locateOpenCode, type LocateOptions} from '../opencode/program/locate.ts'
import type {Layout} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {servicePath} from './units/env-file.ts'

export type FoundOpenCode = {
  /** Path of the program itself, behind wrapper scripts. Undefined if it was not found. */
  program: string | undefined
  /** Path to write to the configuration, because the service would not find the program otherwise. */
  configure?: string
  warnings: string[]
}

export type SearchOptions = {
  machine: Machine
  layout: Layout
  /** Environment of the installing user. */
  env: Environment
  programRoot: string
}

/** Searches OpenCode where the service will search, then where the installing user would find it. */
export function findOpenCode(configured: string | undefined, options: SearchOptions): FoundOpenCode {
  const {machine, layout, env, programRoot} = options
  if (!machine.isLive) return {program: undefined, warnings: []}
  const explicit = configured === undefined ? undefined : {path: configured, source: 'opencode_bin'}
  const forService = tryLocate({explicit, env: {PATH: servicePath}, home: layout.home})
  if ('path' in forService) return {program: forService.path, warnings: []}
  const missing = {program: undefined, warnings: [`${forService.problem}. The service needs it to start`]}
  if (explicit) return missing
  const forUser = tryLocate({env: {...env}, home: env['HOME'] || layout.home, projectRoot: programRoot})
  return 'path' in forUser ? {program: forUser.path, configure: forUser.path, warnings: []} : missing
}

function tryLocate(options: LocateOptions): {path: string} | {problem: string} {
  try {
    return {path: locateOpenCode({...options, isPrivileged: true}).path}
  } catch (error) {
    return {problem: messageOf(error)}
  }
}
