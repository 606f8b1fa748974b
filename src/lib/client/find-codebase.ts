import {hostname} from 'node:os'
import {sep} from 'node:path'
import {ExpectedError, usageError} from '../core/errors.ts'
import {nearestNames} from '../core/nearest.ts'
import type {Codebase} from '../protocol/schemas.ts'

/**
 * Finds a codebase by id, name or path. Without any, the one that contains the current directory on this host. Throws
 * ExpectedError (2) that suggests the nearest names or lists the choices.
 */
export function findCodebase(all: readonly Codebase[], wanted: string | undefined, cwd: string): Codebase {
  if (wanted === undefined) return containing(all, cwd)
  const path = wanted.length > 1 ? wanted.replace(/\/+$/, '') : wanted
  const exact = all.filter(({id, aliases}) => id === wanted || aliases?.includes(wanted))
  const found = exact.length > 0 ? exact : all.filter((codebase) => codebase.name === wanted || codebase.path === path)
  const best = found.length > 1 ? preferred(found) : found
  if (best.length === 1 && best[0]) return best[0]
  if (best.length > 1)
    throw usageError(
      `Several codebases are called ${wanted}.`,
      `Give one of these ids: ${best.map(({id, path: at, hostname: host}) => `${id} (${at}${host ? ` on ${host}` : ''})`).join(', ')}.`,
    )
  const near = nearestNames(
    wanted,
    all.flatMap(({id, name}) => [name, id]),
  )
  throw new ExpectedError(`There is no codebase ${wanted}.`, {
    code: 'UNKNOWN_CODEBASE',
    exit: 'usage',
    suggestions: [near.length > 0 ? `Did you mean ${near.join(', ')}?` : choices(all)],
  })
}

/** The served ones, and of those the ones on this machine. */
function preferred(found: readonly Codebase[]): readonly Codebase[] {
  const served = found.filter((codebase) => codebase.served === true)
  const here = (served.length > 0 ? served : found).filter((codebase) => codebase.hostname === hostname())
  return here.length > 0 ? here : served.length > 0 ? served : found
}

function containing(all: readonly Codebase[], cwd: string): Codebase {
  const inside = all.filter(
    ({path, hostname: host}) =>
      (host === null || host === hostname()) && (cwd === path || cwd.startsWith(path === sep ? sep : path + sep)),
  )
  const deepest = inside
    .sort((a, b) => b.path.length - a.path.length)
    .filter(({path}, _, [first]) => path === first?.path)
  const best = preferred(deepest)[0]
  if (best) return best
  throw new ExpectedError(`No codebase contains the current directory ${cwd}.`, {
    code: 'NO_CODEBASE_HERE',
    exit: 'usage',
    suggestions: ['Give --codebase ID, NAME or PATH.', choices(all)],
  })
}

const choices = (all: readonly Codebase[]) =>
  all.length === 0
    ? 'The server knows no codebase yet: start a worker where the code is.'
    : `There are: ${all
        .map(({name, id}) => `${name} (${id})`)
        .slice(0, 20)
        .join(', ')}.`
