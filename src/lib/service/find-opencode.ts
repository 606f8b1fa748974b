import type {Environment} from '../config/file.ts'
import {messageOf} from '../core/errors.ts'
import {locateOpenCode, type LocateOptions} from '../opencode/program/locate.ts'
import type {Layout} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'

export type FoundOpenCode = {
  /** The program itself, where wrappers could be seen through. */
  program: string | undefined
  /** What has to be put into the configuration, since the service would not find it. */
  configure?: string
  warnings: string[]
}

export type SearchOptions = {
  machine: Machine
  layout: Layout
  /** Of who installs. */
  env: Environment
  programRoot: string
}

/** What systemd gives to services. */
const servicePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Looks where the service will look; then where whoever installs would find it. */
export function findOpenCode(configured: string | undefined, options: SearchOptions): FoundOpenCode {
  const {machine, layout, env, programRoot} = options
  if (!machine.isLive) return {program: undefined, warnings: []}
  const explicit = configured === undefined ? undefined : {path: configured, source: 'opencode_bin'}
  const own = tryLocate({explicit, env: {PATH: servicePath}, home: layout.home})
  if ('path' in own) return {program: own.path, warnings: []}
  const missing = {program: undefined, warnings: [`${own.problem}. The service does not start without it`]}
  if (explicit) return missing
  const theirs = tryLocate({env: {...env}, home: env['HOME'] || layout.home, projectRoot: programRoot})
  return 'path' in theirs ? {program: theirs.path, configure: theirs.path, warnings: []} : missing
}

function tryLocate(options: LocateOptions): {path: string} | {problem: string} {
  try {
    return {path: locateOpenCode(options).path}
  } catch (error) {
    return {problem: messageOf(error)}
  }
}
