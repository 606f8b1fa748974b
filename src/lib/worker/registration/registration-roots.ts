import {realpathSync, statSync} from 'node:fs'
import {dirname, isAbsolute, resolve} from 'node:path'
import type {ConfiguredCodebase} from '../../config/settings.ts'
import {pathMissing, pathNotAllowed} from '../../protocol/declines.ts'

/** Below which directories a path may be registered from remote; `themselves`: the directories, too. */
export type Roots = {paths: readonly string[]; themselves: boolean}

/** The configured roots, else the directories beside the configured codebases. */
export const registrationRoots = (
  configured: readonly string[] | undefined,
  codebases: readonly ConfiguredCodebase[],
): Roots =>
  configured
    ? {paths: configured, themselves: true}
    : {paths: codebases.map(({path}) => dirname(path)), themselves: false}

/**
 * Why a path may not be registered by somebody who is not on this machine; undefined when it may. Both the path as
 * given and where its links lead must be below a root. Outside of the roots nothing is told of what there is.
 */
export function registrableProblem(path: string, roots: Roots): string | undefined {
  if (!isAbsolute(path) || !isBelow(resolve(path), roots, (root) => root)) return `${pathNotAllowed}: ${path}`
  try {
    const real = realpathSync.native(path)
    if (!isBelow(real, roots, realPathOf)) return `${pathNotAllowed}: ${path} is a link that leads elsewhere`
    return statSync(real).isDirectory() ? undefined : `${pathMissing}: ${path} is not a directory`
  } catch {
    return `${pathMissing}: ${path}`
  }
}

function isBelow(path: string, {paths, themselves}: Roots, form: (root: string) => string): boolean {
  return paths.some((root) => {
    const top = form(root)
    return (themselves && path === top) || path.startsWith(top.endsWith('/') ? top : `${top}/`)
  })
}

function realPathOf(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    return path
  }
}
