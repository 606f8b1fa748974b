import {realpathSync, statSync} from 'node:fs'
import {dirname, isAbsolute, resolve} from 'node:path'
import type {ConfiguredCodebase} from '../../config/settings.ts'
import {realPathOf} from '../../core/paths/real-path.ts'
import {pathMissing, pathNotAllowed} from '../../protocol/declines.ts'

/** Directories below which a path may be registered remotely. `isInclusive` allows the directories themselves too. */
export type Roots = {paths: readonly string[]; isInclusive: boolean}

/** The configured roots, or by default the parent directories of the configured codebases. */
export const registrationRoots = (
  configured: readonly string[] | undefined,
  codebases: readonly ConfiguredCodebase[],
): Roots =>
  configured
    ? {paths: configured, isInclusive: true}
    : {paths: codebases.map(({path}) => dirname(path)), isInclusive: false}

/**
 * Why a path may not be registered remotely, or undefined if it may. Both the path as given and its real path must be
 * below a root. For paths outside the roots the answer does not reveal whether they exist.
 */
export function pathProblem(path: string, roots: Roots): string | undefined {
  if (!isAbsolute(path) || !isBelow(resolve(path), roots, (root) => root)) return `${pathNotAllowed}: ${path}`
  try {
    const real = realpathSync.native(path)
    if (!isBelow(real, roots, realPathOf)) return `${pathNotAllowed}: ${path} is a link that leads elsewhere`
    return statSync(real).isDirectory() ? undefined : `${pathMissing}: ${path} is not a directory`
  } catch {
    return `${pathMissing}: ${path}`
  }
}

function isBelow(path: string, {paths, isInclusive}: Roots, form: (root: string) => string): boolean {
  return paths.some((root) => {
    const top = form(root)
    return (isInclusive && path === top) || path.startsWith(top.endsWith('/') ? top : `${top}/`)
  })
}
