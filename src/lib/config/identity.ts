import {randomUUID} from 'node:crypto'
import {hostname} from 'node:os'
import {basename, join} from 'node:path'
import * as v from 'valibot'
import {makePrivateDirectory, readStateJson, workerDirectory, writePrivateFile} from './state-directory.ts'

/** Whether the id can be used in headers, paths and the environment of agents. */
export const isValidId = (id: string) => /^[!-~]{1,200}$/.test(id)

const identitySchema = v.object({worker_id: v.pipe(v.string(), v.check(isValidId))})

/**
 * The worker's stable id: the setting, or the id in the state directory, or a new id that is stored there. A new id at
 * each start would leave a dead worker on the server each time. Throws ExpectedError (73).
 */
export function workerIdentity(stateDir: string, name: string, setting?: string): string {
  if (setting) return setting
  const folder = makePrivateDirectory(workerDirectory(stateDir, name))
  const path = join(folder, 'identity.json')
  const known = v.safeParse(identitySchema, readStateJson(path))
  if (known.success) return known.output.worker_id
  const id = randomUUID().slice(0, 13).replace('-', '')
  writePrivateFile(path, `${JSON.stringify({worker_id: id})}\n`)
  return id
}

/** The default name of a worker: the host name. With `directory`, the only directory it serves, that is appended. */
export function defaultWorkerName(directory?: string): string {
  const parts = directory ? [hostname(), basename(directory)] : [hostname()]
  return (
    parts
      .join('-')
      .replaceAll(/[^\p{L}\p{N}._-]+/gu, '-')
      .slice(0, 100) || 'worker'
  )
}
