import {rmSync} from 'node:fs'
import {join} from 'node:path'
import {configError} from '../../core/errors.ts'
import {checkDatabase, importQuietly, migrate, openDatabase} from '../../core/sqlite.ts'
import {withoutLogin} from '../../core/redis/redis-address.ts'
import {migrations} from '../store/migrations.ts'
import {connectRedis, lostAtStart} from './connection.ts'
import {DecisionLog} from './decision-log.ts'
import {Images} from './image.ts'
import {checkOwner, own, type Owner} from './owner.ts'
import {persistenceOf} from './persistence.ts'
import {makeReplicaFolder} from './replica-folder.ts'

export type ReplicaPlace = {
  url: string
  /** Of all keys. With a hash tag, so that they are on one shard of a cluster. */
  prefix: string
  /** Where this replica keeps its copy of the state. */
  folder: string
  version: string
  /** A database that becomes the state of all, if there is none yet. */
  importFile?: string | undefined
}

/** What a replica begins with. */
export type OpenedReplica = Awaited<ReturnType<typeof openReplica>>

/**
 * Connects, checks what is there, and loads the newest image into a database of its own. Rejects with ExpectedError (78,
 * 69): see `connectRedis` and `checkOwner`. Nothing is written to Redis before all is checked.
 */
export async function openReplica({url, prefix, folder: parent, version, importFile}: ReplicaPlace) {
  const at = withoutLogin(url)
  const connections = await connectRedis(url, prefix)
  const {commands} = connections
  let folder: string | undefined
  try {
    const persistence = await persistenceOf(commands)
    if (persistence.problem !== undefined)
      throw configError(
        `The Redis at ${at} cannot keep the state: ${persistence.problem}.`,
        'Set maxmemory-policy noeviction in Redis.',
      )
    const owner: Owner = {schema: migrations.length, version}
    const found = await checkOwner(commands, prefix, owner, at)
    if (importFile !== undefined && found !== 'empty') throw notEmpty(prefix, at, importFile)
    if (importFile === undefined && found === 'empty') await own(commands, prefix, owner)
    folder = makeReplicaFolder(parent)
    const file = join(folder, 'plane.db')
    const log = new DecisionLog(commands, prefix)
    const images = new Images(commands, log, prefix, folder)
    const isImported = importFile !== undefined
    if (isImported) await copyDatabase(importFile, file)
    const image = isImported ? undefined : await images.load(file)
    const database = await openDatabase(file, {exclusive: false})
    database.exec('PRAGMA synchronous = OFF') // it is a copy: what must survive is in Redis
    migrate(database, file, migrations)
    return {connections, persistence, owner, found, isImported, file, log, images, image, database}
  } catch (error) {
    connections.close()
    if (folder !== undefined) rmSync(folder, {recursive: true, force: true})
    throw lostAtStart(url, error)
  }
}

const notEmpty = (prefix: string, at: string, file: string) =>
  configError(
    `The prefix ${prefix} in the Redis at ${at} is not empty, so ${file} was not imported.`,
    'Omit --import to use what is in Redis, or choose another prefix with --redis-prefix.',
  )

/** Copies the database of a control plane that does not run. Throws ExpectedError: in use (75), not usable (78). */
async function copyDatabase(from: string, to: string): Promise<void> {
  const {backup} = await importQuietly()
  const source = await openDatabase(from, {exclusive: true})
  try {
    checkDatabase(source, from)
    await backup(source, to)
  } finally {
    source.close()
  }
}
