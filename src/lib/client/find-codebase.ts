import {hostname} from 'node:os'
import {isAbsolute, resolve, sep} from 'node:path'
import {existing} from '../core/paths/current-directory.ts'
import {ExpectedError, usageError} from '../core/errors.ts'
import {nearestNames} from '../core/text/nearest.ts'
import {realPathOf} from '../core/paths/real-path.ts'
import type {Codebase} from '../protocol/schemas.ts'
import {matchId} from './short-id.ts'

/**
 * Finds a codebase by id or the beginning of one, name or path. Without any, the one that contains the current directory on this host. A path
 * through symbolic links counts as the directory that it leads to. Throws ExpectedError (2) that suggests the nearest
 * names or lists the choices.
 */
export function findCodebase(all: readonly Codebase[], wanted: string | undefined, cwd: string | undefined): Codebase {
  if (wanted === undefined) return containing(all, existing(cwd, 'Or give --codebase ID, NAME or PATH.'))
  const best = matching(all, wanted, cwd)
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

/** The codebases with this id; else with this name or path, or another path of the same directory; else with the beginning of an id. */
function matching(all: readonly Codebase[], wanted: string, cwd: string | undefined): readonly Codebase[] {
  const path = wanted.length > 1 ? wanted.replace(/\/+$/, '') : wanted
  const exact = all.filter(({id, aliases}) => id === wanted || aliases?.includes(wanted))
  const found = exact.length > 0 ? exact : all.filter((codebase) => codebase.name === wanted || codebase.path === path)
  const named = found.length > 0 ? found : sameDirectory(all, path, cwd)
  return named.length > 0 ? preferred(named) : beginningWith(all, wanted)
}

function beginningWith(all: readonly Codebase[], wanted: string): readonly Codebase[] {
  const candidates = all.map(({id, name, path}) => ({id, about: `${name}  ${path}`}))
  const id = matchId('codebase', wanted, candidates)
  return all.filter((codebase) => codebase.id === id)
}

function sameDirectory(all: readonly Codebase[], path: string, cwd: string | undefined): readonly Codebase[] {
  if (!isAbsolute(path) && (cwd === undefined || !/^\.|\//.test(path))) return []
  const real = realPathOf(resolve(cwd ?? sep, path))
  return all.filter((codebase) => isHere(codebase) && realPathOf(codebase.path) === real)
}

/** The served ones, and of those the ones on this machine. */
function preferred(found: readonly Codebase[]): readonly Codebase[] {
  if (found.length < 2) return found
  const served = found.filter((codebase) => codebase.served === true)
  const here = (served.length > 0 ? served : found).filter((codebase) => codebase.hostname === hostname())
  return here.length > 0 ? here : served.length > 0 ? served : found
}

function containing(all: readonly Codebase[], cwd: string): Codebase {
  const real = realPathOf(cwd)
  const inside = all
    .filter(isHere)
    .map((codebase) => ({codebase, path: realPathOf(codebase.path)}))
    .filter(({path}) => real === path || real.startsWith(path === sep ? sep : path + sep))
    .sort((a, b) => b.path.length - a.path.length)
  const deepest = inside.filter(({path}) => path === inside[0]?.path).map(({codebase}) => codebase)
  const best = preferred(deepest)[0]
  if (best) return best
  throw new ExpectedError(`No codebase contains the current directory ${cwd}.`, {
    code: 'NO_CODEBASE_HERE',
    exit: 'usage',
    suggestions: ['Give --codebase ID, NAME or PATH.', choices(all)],
  })
}

/** Whether its path is a path of this machine, as far as is known. */
const isHere = ({hostname: host}: Codebase) => host === null || host === hostname()

const choices = (all: readonly Codebase[]) =>
  all.length === 0
    ? 'The server knows no codebase yet: start a worker where the code is.'
    : `There are: ${all
        .map(({name, id}) => `${name} (${id})`)
        .toSorted()
        .slice(0, 20)
        .join(', ')}.`
