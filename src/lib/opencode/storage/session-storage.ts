import {accessSync, constants} from 'node:fs'
import {access, stat} from 'node:fs/promises'
import {basename, dirname, isAbsolute, join} from 'node:path'
import {ExpectedError, errorCode} from '../../core/errors.ts'
import {userName} from '../../core/user-name.ts'

export type StorageOptions = {
  /** The configured path: the `storage` folder, the data folder that contains it, or a database. */
  setting: string | undefined
  /** The agent's environment, which determines the location. */
  env: NodeJS.ProcessEnv
  home: string
}

/** A database since OpenCode 1.2, before that a tree of JSON files. `stamp` changes with each change of a database. */
export type SessionStorage = {kind: 'database'; path: string; stamp: string} | {kind: 'tree'; path: string}

/** Why sessions cannot be read, with suggestions. `busy` is temporary. */
export class StorageProblem extends ExpectedError {
  readonly kind: StorageProblemKind

  constructor(kind: StorageProblemKind, message: string, suggestions: string[] = [], cause?: unknown) {
    const exit = kind === 'busy' ? 'temporary' : kind === 'forbidden' ? 'refused' : 'config'
    super(message, {code: `STORAGE_${kind.toUpperCase()}`, exit, suggestions, cause})
    this.kind = kind
  }
}
export type StorageProblemKind = 'busy' | 'forbidden' | 'missing' | 'broken' | 'unknown'

type Places = {database?: string; tree?: string}

/**
 * Finds OpenCode's session storage: the newer one of database and tree, or undefined if there is none yet. Throws
 * StorageProblem if it may not be read, or if the configured path does not exist.
 */
export async function findStorage(options: StorageOptions): Promise<SessionStorage | undefined> {
  const {database, tree} = await placesOf(options)
  const [main, log, index, newestFile] = await Promise.all([
    database === undefined ? undefined : statOf(database),
    database === undefined ? undefined : statOf(`${database}-wal`),
    database === undefined ? undefined : statOf(`${database}-shm`),
    tree === undefined ? undefined : treeTime(tree),
  ])
  const changed = main && (log && log.mtimeNs > main.mtimeNs ? log.mtimeNs : main.mtimeNs)
  if (database !== undefined && changed !== undefined && changed >= (newestFile ?? 0n)) {
    const beside = [...(log ? ['-wal'] : []), ...(index ? ['-shm'] : [])].map((ending) => database + ending)
    await checkReadable([database, ...beside], database)
    return {kind: 'database', path: database, stamp: [main, log].map(stampOf).join(' ')}
  }

  if (tree === undefined || newestFile === undefined) return undefined
  await checkReadable([join(tree, 'session')], tree)
  return {kind: 'tree', path: tree}
}

async function placesOf({setting, env, home}: StorageOptions): Promise<Places> {
  if (setting !== undefined) return namedPlaces(setting)
  const data = join(env['XDG_DATA_HOME'] || join(home, '.local', 'share'), 'opencode')
  const named = env['OPENCODE_DB']
  if (named === ':memory:') return {}
  if (named) return {database: isAbsolute(named) ? named : join(data, named)}
  return inDataFolder(data)
}

const inDataFolder = (folder: string): Places => ({
  database: join(folder, 'opencode.db'),
  tree: join(folder, 'storage'),
})

async function namedPlaces(path: string): Promise<Places> {
  const found = await statOf(path)
  if (!found)
    throw new StorageProblem('missing', `OpenCode's session storage ${path} does not exist.`, [
      'Correct opencode_storage_path, or leave it out for the usual place.',
    ])
  if (!found.isDirectory()) return {database: path}
  // An older configuration names the folder of JSON files. A newer OpenCode has its database beside it.
  if (basename(path) === 'storage') return inDataFolder(dirname(path))
  return (await statOf(join(path, 'session'))) ? {tree: path} : inDataFolder(path)
}

/** Undefined if the path does not exist. */
async function statOf(path: string) {
  try {
    return await stat(path, {bigint: true})
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw isForbidden(error) ? forbiddenProblem(path, error) : error
  }
}

type Stats = Awaited<ReturnType<typeof statOf>>

const stampOf = (file: Stats) => (file ? `${file.ino}:${file.size}:${file.mtimeNs}` : '-')

/** The time of the newest message. Each message creates a folder for its parts, so the folders' times show it. */
async function treeTime(tree: string): Promise<bigint | undefined> {
  const [sessions, ...others] = await Promise.all(
    ['session', 'message', 'part'].map((name) => statOf(join(tree, name))),
  )
  return (
    sessions &&
    others.reduce((latest, file) => (file && file.mtimeNs > latest ? file.mtimeNs : latest), sessions.mtimeNs)
  )
}

async function checkReadable(paths: string[], storage: string): Promise<void> {
  try {
    for (const path of paths) await access(path, constants.R_OK)
  } catch (error) {
    if (isForbidden(error)) throw forbiddenProblem(storage, error)
    // It was removed meanwhile.
    throw new StorageProblem('busy', `OpenCode's session storage ${storage} is being replaced.`, [], error)
  }
}

export const isForbidden = (error: unknown) => ['EACCES', 'EPERM'].includes(errorCode(error) ?? '')

/** Suggests commands that let this user read only the sessions. The folder contains the agent's logins too. */
export function forbiddenProblem(storage: string, cause?: unknown): StorageProblem {
  const path = storage.replace(/-(wal|shm)$/, '')
  const name = userName()
  const closed = ancestors(dirname(path)).filter((folder) => !isPassable(folder))
  const grant = path.endsWith('.db')
    ? [`setfacl -m d:u:${name}:r ${quoted(dirname(path))}`, `setfacl -m u:${name}:r ${quoted(path)}*`]
    : [`setfacl -R -m u:${name}:rX,d:u:${name}:rX ${quoted(path)}`]
  const pass = closed.length > 0 ? [`setfacl -m u:${name}:x ${closed.map(quoted).join(' ')}`] : []
  return new StorageProblem(
    'forbidden',
    `User ${name} may not read OpenCode's sessions at ${path}.`,
    [`As its owner or root: ${[...pass, ...grant].join(' && ')}`],
    cause,
  )
}

function ancestors(folder: string): string[] {
  const parent = dirname(folder)
  return parent === folder ? [] : [...ancestors(parent), folder]
}

function isPassable(folder: string): boolean {
  try {
    accessSync(folder, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const quoted = (path: string) => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`)
