import {accessSync, constants} from 'node:fs'
import {access, stat} from 'node:fs/promises'
import {userInfo} from 'node:os'
import {basename, dirname, isAbsolute, join} from 'node:path'
import {ExpectedError, errorCode} from '../../core/errors.ts'

export type StorageOptions = {
  /** What was configured: the `storage` folder, the data folder that holds it, or a database. */
  setting: string | undefined
  /** The agent's environment decides where it keeps its sessions. */
  env: NodeJS.ProcessEnv
  home: string
}

/** From 1.2 on a database, before that a tree of JSON files. `stamp` is another one after each change of a database. */
export type SessionStorage = {kind: 'database'; path: string; stamp: string} | {kind: 'tree'; path: string}

/** Why sessions cannot be read, and what to do about it. `busy` passes by itself. */
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
 * Where OpenCode keeps its sessions now, the newer one of database and tree; undefined where there are none yet.
 * Throws StorageProblem when they may not be read, or when what was named is not there.
 */
export async function findStorage(options: StorageOptions): Promise<SessionStorage | undefined> {
  const {database, tree} = await placesOf(options)
  const [main, log, index, newestFile] = await Promise.all([
    database === undefined ? undefined : lookAt(database),
    database === undefined ? undefined : lookAt(`${database}-wal`),
    database === undefined ? undefined : lookAt(`${database}-shm`),
    tree === undefined ? undefined : treeTime(tree),
  ])
  const changed = main && (log && log.mtimeNs > main.mtimeNs ? log.mtimeNs : main.mtimeNs)
  if (database !== undefined && changed !== undefined && changed >= (newestFile ?? 0n)) {
    const beside = [...(log ? ['-wal'] : []), ...(index ? ['-shm'] : [])].map((ending) => database + ending)
    await mustBeReadable([database, ...beside], database)
    return {kind: 'database', path: database, stamp: [main, log].map(stampOf).join(' ')}
  }

  if (tree === undefined || newestFile === undefined) return undefined
  await mustBeReadable([join(tree, 'session')], tree)
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
  const found = await lookAt(path)
  if (!found)
    throw new StorageProblem('missing', `OpenCode's session storage ${path} does not exist.`, [
      'Correct opencode_storage_path, or leave it out for the usual place.',
    ])
  if (!found.isDirectory()) return {database: path}
  // An older configuration names the folder of JSON files; a later OpenCode has its database beside it.
  if (basename(path) === 'storage') return inDataFolder(dirname(path))
  return (await lookAt(join(path, 'session'))) ? {tree: path} : inDataFolder(path)
}

/** Undefined when it is not there. */
async function lookAt(path: string) {
  try {
    return await stat(path, {bigint: true})
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw isForbidden(error) ? forbidden(path, error) : error
  }
}

type Stats = Awaited<ReturnType<typeof lookAt>>

const stampOf = (file: Stats) => (file ? `${file.ino}:${file.size}:${file.mtimeNs}` : '-')

/** Each new message makes a folder for its parts, so the folders tell when there was one. */
async function treeTime(tree: string): Promise<bigint | undefined> {
  const [sessions, ...others] = await Promise.all(
    ['session', 'message', 'part'].map((name) => lookAt(join(tree, name))),
  )
  return (
    sessions &&
    others.reduce((latest, file) => (file && file.mtimeNs > latest ? file.mtimeNs : latest), sessions.mtimeNs)
  )
}

async function mustBeReadable(paths: string[], storage: string): Promise<void> {
  try {
    for (const path of paths) await access(path, constants.R_OK)
  } catch (error) {
    if (isForbidden(error)) throw forbidden(storage, error)
    // It went away meanwhile.
    throw new StorageProblem('busy', `OpenCode's session storage ${storage} is being replaced.`, [], error)
  }
}

export const isForbidden = (error: unknown) => ['EACCES', 'EPERM'].includes(errorCode(error) ?? '')

/** With the command that lets this user read it, and nothing else of that folder: the agent's logins are there, too. */
export function forbidden(storage: string, cause?: unknown): StorageProblem {
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

function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.() ?? '')
  }
}
