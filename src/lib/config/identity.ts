import {randomUUID} from 'node:crypto'
import {renameSync} from 'node:fs'
import {hostname} from 'node:os'
import {basename, join} from 'node:path'
import * as v from 'valibot'
import {folderId, machineId} from './machine-id.ts'
import {
  cannotWriteError,
  makePrivateDirectory,
  readStateJson,
  workerDirectory,
  writePrivateFile,
} from './state-directory.ts'
import {namesIn} from '../core/paths/read-if-there.ts'

/** Whether the id can be used in headers, paths and the environment of agents. */
export const isValidId = (id: string) => /^[!-~]{1,200}$/.test(id)

/** `identity.json`. A file of an earlier version has only `worker_id`. */
const storedSchema = v.object({
  /** Absent if the id was always set by the configuration. */
  worker_id: v.exactOptional(v.pipe(v.string(), v.check(isValidId))),
  /** The machine, and the state directory, that the worker was last started with. */
  machine: v.exactOptional(v.nullable(v.string())),
  folder: v.exactOptional(v.string()),
  host: v.exactOptional(v.string()),
  /** Present if the name is a default name: the scope that is part of the name, or null. */
  default_for: v.exactOptional(v.nullable(v.string())),
})
type Stored = v.InferOutput<typeof storedSchema>

export type IdentityOptions = {
  stateDir: string
  name: string
  /** The setting `worker_id`. */
  workerId?: string | undefined
  /** For a default name: the scope that is part of the name, or null. */
  defaultFor?: string | null
}

/**
 * The worker's stable id: the setting, or the id in the state directory, or a new id that is stored there. A new id at
 * each start would leave a dead worker on the server each time.
 *
 * The id is bound to the machine and to the state directory. If one of them is the same, it is the same worker: the host
 * was renamed, or the container was recreated. If both differ, the directory is a copy, and the original may still run.
 * Its state is then set aside, and `notice` tells so. Throws ExpectedError (73).
 */
export function workerIdentity(options: IdentityOptions): {workerId: string; notice?: string} {
  const {stateDir, name, workerId: setting, defaultFor} = options
  makePrivateDirectory(workerDirectory(stateDir, name))
  const found = readIdentity(stateDir, name)
  const here = {machine: machineId(), folder: folderId(stateDir)}
  const original = found && isCopy(found, here) ? found : undefined
  const known = original ? undefined : found
  const asideDir = original && setAside(stateDir, name)
  const storedId = known?.worker_id ?? (setting === undefined ? newId() : undefined)
  const identity: Stored = {
    ...(storedId === undefined ? {} : {worker_id: storedId}),
    ...here,
    host: hostname(),
    ...(defaultFor === undefined ? {} : {default_for: defaultFor}),
  }
  writeIdentity(stateDir, name, {identity, known})
  const workerId = setting ?? storedId ?? ''
  if (!original) return {workerId}
  return {workerId, notice: copyNotice(original, {workerId, asideDir: asideDir ?? '', isConfigured: Boolean(setting)})}
}

/** Whether the state was written on another machine and in another directory. An unknown place proves nothing. */
function isCopy({machine, folder}: Stored, here: {machine: string | null; folder: string}): boolean {
  return machine !== undefined && folder !== undefined && machine !== here.machine && folder !== here.folder
}

function readIdentity(stateDir: string, name: string): Stored | undefined {
  const parsed = v.safeParse(storedSchema, readStateJson(identityFile(stateDir, name)))
  return parsed.success ? parsed.output : undefined
}

/** Writes the file if it has changed. Without space, a known id is used all the same. */
function writeIdentity(
  stateDir: string,
  name: string,
  {identity, known}: {identity: Stored; known: Stored | undefined},
) {
  const text = (value: Stored | undefined) => `${JSON.stringify(value)}\n`
  if (text(identity) === text(known)) return
  try {
    writePrivateFile(identityFile(stateDir, name), text(identity))
  } catch (error) {
    if (known?.worker_id === undefined) throw error
  }
}

const identityFile = (stateDir: string, name: string) => join(workerDirectory(stateDir, name), 'identity.json')
const newId = () => randomUUID().slice(0, 13).replace('-', '')

/** Moves the state of the original out of the way, so that nothing of it is adopted, resumed or reported here. */
function setAside(stateDir: string, name: string): string {
  const path = join(stateDir, 'copied', `${name}-${Date.now()}`)
  try {
    makePrivateDirectory(join(stateDir, 'copied'))
    renameSync(workerDirectory(stateDir, name), path)
  } catch (error) {
    throw cannotWriteError(path, error)
  }

  makePrivateDirectory(workerDirectory(stateDir, name))
  return path
}

function copyNotice(
  {worker_id: id, host}: Stored,
  {workerId, asideDir, isConfigured}: {workerId: string; asideDir: string; isConfigured: boolean},
): string {
  const origin = `The state directory is a copy: it belongs to worker ${id ?? workerId} on ${host ?? 'another host'}.`
  const aside = `The runs of that worker are left alone, in ${asideDir}.`
  return isConfigured
    ? `${origin} ${aside} This worker uses the configured id ${workerId}: no other worker may use it.`
    : `${origin} ${aside} This worker has the new id ${workerId}.`
}

/**
 * Workers in this state directory that have a default name from another host name. After a rename of the host, or in a
 * recreated container, such a worker is this one. `copied`: what to tell about workers whose state is a copy.
 */
export function formerWorkers(stateDir: string, defaultFor: string | null): {names: string[]; copied: string[]} {
  const here = {machine: machineId(), folder: folderId(stateDir)}
  const names: string[] = []
  const copied: string[] = []
  for (const name of namesIn(join(stateDir, 'workers'))) {
    const stored = readIdentity(stateDir, name)
    if (!stored || !isDefaultName(stored, defaultFor)) continue
    if (isCopy(stored, here)) copied.push(`worker ${stored.worker_id ?? name} on ${stored.host ?? 'another host'}`)
    else names.push(name)
  }

  return {names, copied}
}

/** Whether a worker of this state directory has worked for a server, other than the control plane of this machine. */
export const hasServerWorker = (stateDir: string): boolean =>
  namesIn(join(stateDir, 'workers')).some((name) => {
    const stored = readIdentity(stateDir, name)
    return stored !== undefined && stored.default_for !== localScope
  })

/** An earlier version did not store where the name came from. With a directory in the name it cannot be told. */
const isDefaultName = ({machine, default_for: stored}: Stored, defaultFor: string | null) =>
  machine === undefined ? defaultFor === null : stored === defaultFor

/** The scope of the worker of the local control plane. It keeps one identity, whatever it serves. */
export const localScope = 'local'

/** The default name of a worker: the host name, and the last part of its scope if it has one (see `identifyWorker`). */
export function defaultWorkerName(scope?: string | null): string {
  const parts = scope ? [hostname(), basename(scope)] : [hostname()]
  return (
    parts
      .join('-')
      .replaceAll(/[^\p{L}\p{N}._-]+/gu, '-')
      .slice(0, 100) || 'worker'
  )
}
