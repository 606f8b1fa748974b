import {accessSync, constants, statSync} from 'node:fs'
import {delimiter, dirname, join} from 'node:path'
import {ExpectedError} from '../../core/errors.ts'
import {realPathOf} from '../../core/paths/real-path.ts'
import {behindLauncher, platformPrograms} from './launcher.ts'

export type OpenCodeLocation = {
  /** The program to start. If the found file is a launcher, the program behind it. */
  path: string
  /** Where it was found, for messages: `--opencode`, `PATH`, a folder. */
  source: string
  /** Another OpenCode that was found and is not used. */
  other?: string
}

export type LocateOptions = {
  /** A configured path, and where it was configured. If it is not executable, that is an error. */
  explicit?: {path: string; source: string} | undefined
  env: NodeJS.ProcessEnv
  home: string
  /** The folder of this program. An OpenCode installed beside it is used last. */
  projectRoot?: string | undefined
  /**
   * The process is root or a service. A program that only root can replace then comes first: agents could replace the
   * others and so become root, or get the token of the worker.
   */
  isPrivileged?: boolean
  isExecutable?: (path: string) => boolean
}

/** Since version 12, npm runs the script that puts the program in its place only if it is asked to. */
export const installCommand = 'npm i -g --allow-scripts=opencode-ai opencode-ai'

const homeFolders = ['.local/bin', '.opencode/bin', 'bin', '.bun/bin', '.npm-global/bin']
const systemFolders = ['/usr/local/bin', '/usr/bin', '/opt/a2a-worker/bin']

/** Locates OpenCode: the configured path, or `PATH`, the usual folders and our `node_modules`. Throws ExpectedError (78). */
export function locateOpenCode(options: LocateOptions): OpenCodeLocation {
  const {explicit, isPrivileged = false, isExecutable = isExecutableFile} = options
  if (explicit) {
    if (!isExecutable(explicit.path)) throw notExecutable(explicit)
    return {path: behindLauncher(explicit.path, isExecutable), source: explicit.source}
  }

  const found = candidates(options).filter(({path}) => isExecutable(path))
  const ordered = isPrivileged ? found.toSorted((a, b) => trustRank(a.path) - trustRank(b.path)) : found
  const [best] = ordered
  if (!best) throw notFound(options)
  const used = realPathOf(best.path)
  const other = found.find(({path, source}) => source !== 'node_modules' && realPathOf(path) !== used)
  return {
    path: behindLauncher(best.path, isExecutable),
    source: best.source,
    ...(other ? {other: other.path} : {}),
  }
}

/** How a location is described: both programs are named if there are two. */
export const describeLocation = ({source, other}: Omit<OpenCodeLocation, 'path'>): string =>
  other === undefined ? source : `${source}; not used: ${other}`

/** 0 if only root can replace the program, else 1. */
function trustRank(path: string): 0 | 1 {
  const real = realPathOf(path)
  const isRoots = [path, real, dirname(path), dirname(real)].every((place) => {
    const stat = statSync(place, {throwIfNoEntry: false})
    return stat?.uid === 0 && (stat.mode & 0o022) === 0
  })
  return isRoots ? 0 : 1
}

function candidates({env, home, projectRoot}: LocateOptions): OpenCodeLocation[] {
  const usual = [...homeFolders.map((folder) => join(home, folder)), ...systemFolders]
  // A relative entry of PATH would mean a different program in each codebase.
  const searched = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/'))
  return [
    ...searched.map((folder) => ({path: join(folder, 'opencode'), source: 'PATH'})),
    ...usual.map((folder) => ({path: join(folder, 'opencode'), source: folder})),
    ...(projectRoot ? platformPrograms(projectRoot).map((path) => ({path, source: 'node_modules'})) : []),
  ]
}

/** Whether `path` is a file that this user may execute. */
export function isExecutableFile(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

const notExecutable = ({path, source}: {path: string; source: string}) =>
  new ExpectedError(`OpenCode at ${path} (from ${source}) is missing or not executable`, {
    code: 'OPENCODE_NOT_FOUND',
    exit: 'config',
    suggestions: [`Correct ${source}, or leave it out to search the usual places`],
  })

function notFound({home, projectRoot}: LocateOptions): ExpectedError {
  const usual = [...homeFolders.map((folder) => join(home, folder)), ...systemFolders]
  const places = ['PATH', ...usual, ...(projectRoot ? [`node_modules in or above ${projectRoot}`] : [])]
  return new ExpectedError(`OpenCode was not found; searched ${places.join(', ')}`, {
    code: 'OPENCODE_NOT_FOUND',
    exit: 'config',
    suggestions: [`Install it: ${installCommand}`, 'Or name the program in the setting `opencode_bin`'],
  })
}
