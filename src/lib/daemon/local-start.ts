import {homedir} from 'node:os'
import {basename} from 'node:path'
import type {Environment} from '../config/file.ts'
import {defaultWorkerName, localScope} from '../config/identity.ts'
import type {Resolved} from '../config/resolve.ts'
import type {Config, ConfiguredCodebase} from '../config/settings.ts'
import {findLocalWorkers} from '../control/local-workers.ts'
import {usageError} from '../core/errors.ts'
import {existing} from '../core/paths/current-directory.ts'
import {realPathOf} from '../core/paths/real-path.ts'
import {isBelow} from '../executor/processes/processes.ts'

type Place = {
  env: Environment
  stateDir: string
  /** The current directory. Undefined if it was deleted. */
  directory: string | undefined
}
type Settings = Pick<Resolved, 'config' | 'sources'>

/** How a worker of the local control plane starts. */
export type LocalStart = {
  /** Part of its default name: see `identifyWorker`. */
  scope: string
  /** The settings with the codebases that it serves. Also used for each reload. */
  withCodebases(settings: Settings): Config
  /** What to tell the user. */
  notices: string[]
}

/**
 * A worker of the local control plane serves the current directory besides the registered codebases, unless its codebases
 * were given by flag or variable. If such a worker runs already, a second one serves only the current directory. Throws
 * ExpectedError (2) if there is nothing to serve.
 */
export async function planLocalStart(settings: Settings, place: Place): Promise<LocalStart> {
  const {config} = settings
  const problem = directoryProblem(place)
  const first = config.worker_name === undefined ? await firstWorker(place) : undefined
  const path = problem === undefined ? place.directory : undefined
  const isSecond = first !== undefined && path !== undefined && !servedBy(first.codebases, path)
  if (isSecond && !areGiven(settings)) {
    const text = `Worker ${first.name} (pid ${first.pid}) runs here already; this worker serves only ${path}.`
    return {scope: path, withCodebases: () => ({...config, codebases: [codebaseAt(path)]}), notices: [text]}
  }

  const withCodebases = (fresh: Settings) => ({...fresh.config, codebases: codebasesOf(fresh, path)})
  if (withCodebases(settings).codebases.length === 0) {
    existing(place.directory, 'Or give --codebase PATH.')
    throw usageError(`Not serving ${problem}.`, 'Change to the directory of a project, or give --codebase PATH.')
  }

  const scope = first && areGiven(settings) ? (config.codebases[0]?.path ?? localScope) : localScope
  return {scope, withCodebases, notices: describe(settings, path, problem)}
}

async function firstWorker({env, stateDir}: Place) {
  const [first] = await findLocalWorkers(env, stateDir, defaultWorkerName(localScope))
  return first?.isService ? undefined : first
}

/** Whether the codebases were given by flag or variable, and not by a file that `register` writes. */
const areGiven = ({config, sources}: Settings) =>
  config.codebases.length > 0 && !sources.codebases.startsWith('/') && sources.codebases !== 'default'

function codebasesOf(settings: Settings, path: string | undefined): readonly ConfiguredCodebase[] {
  const {codebases} = settings.config
  const isAdded = path !== undefined && !areGiven(settings) && !servedBy(codebases, path)
  return isAdded ? [...codebases, codebaseAt(path)] : codebases
}

const codebaseAt = (path: string): ConfiguredCodebase => ({name: basename(path) || path, path, description: ''})

/** Whether the directory is one of the codebases, or in one. */
const servedBy = (codebases: readonly {path: string}[], path: string) =>
  codebases.some((codebase) => isBelow(realPathOf(path), realPathOf(codebase.path)))

/**
 * Why a directory is no project, beginning with its path: an agent in the root directory, in the home or above it, or in
 * the state directory would work in everything that this user has. Undefined: it may be one.
 */
export function directoryProblem({env, stateDir, directory}: Place): string | undefined {
  if (directory === undefined) return 'the current directory: it was deleted'
  const path = realPathOf(directory)
  if (isBelow(realPathOf(env['HOME'] || homedir()), path))
    return `${directory} as a codebase: it contains the home directory`
  if (path === '/') return `${directory} as a codebase: it contains everything`
  if (isBelow(path, realPathOf(stateDir))) return `${directory} as a codebase: it is the state directory of a2a-worker`
  return undefined
}

function describe(settings: Settings, path: string | undefined, problem: string | undefined): string[] {
  const {codebases} = settings.config
  if (codebases.length === 0 || areGiven(settings)) return []
  const registered = `the registered ${codebases.length === 1 ? 'codebase' : 'codebases'} ${codebases.map(({name}) => name).join(', ')}`
  if (path === undefined) return [`Serving ${registered}. Not serving ${problem}.`]
  return servedBy(codebases, path) ? [`Serving ${registered}.`] : [`Serving ${path} and ${registered}.`]
}
