import {globalCodebase} from '../../protocol/routes.ts'
import type {Codebase} from '../../protocol/schemas.ts'
import {notFound} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import {isActive, wireCodebase} from './registry-view.ts'
import type {StoredCodebase, StoredWorker} from '../store/store.ts'

/** The codebase with this id. Throws 404 if there is none. */
export function requireCodebase({store}: Parts, id: string): StoredCodebase {
  const codebase = store.registry.codebase(id)
  if (!codebase) throw notFound('Codebase not found')
  return codebase
}

/** A codebase as the wire shows it. `global` exists as soon as there is a worker. */
export function shownCodebase(parts: Parts, id: string): Codebase {
  const isGlobal = id === globalCodebase && parts.store.registry.hasWorkers()
  return isGlobal ? globalCodebaseView(parts) : wireCodebase(parts, requireCodebase(parts, id))
}

function globalCodebaseView({store, roster}: Parts): Codebase {
  const [running] = store.tasks.list({status: 'running', codebase_id: globalCodebase})
  return {
    id: globalCodebase,
    name: globalCodebase,
    path: '',
    description: 'Tasks that are tied to no codebase',
    status: running ? 'running' : 'idle',
    worker_id: null,
    registered_at: null,
    agent_config: {},
    last_triggered: null,
    opencode_port: null,
    session_id: null,
    watch_mode: false,
    watch_interval: 5,
    served: roster.streamsFor(globalCodebase).length > 0,
    hostname: null,
  }
}

/**
 * All codebases, oldest first. Codebases with the same path on the same host are one directory. Unless duplicates are
 * requested, those of inactive workers are merged into one of an active worker, or into the most recently active one.
 * `only` restricts the list to one worker.
 */
export function listCodebases(
  parts: Parts,
  {includeDuplicates, only}: {includeDuplicates: boolean; only?: string | undefined},
): Codebase[] {
  const {registry} = parts.store
  const workers = new Map(registry.workers({all: true, withModels: false}).map((worker) => [worker.worker_id, worker]))
  const codebases = only === undefined ? registry.codebases() : registry.codebasesOf(only)
  const entries = codebases.map((codebase): Entry => {
    const owner = workers.get(codebase.worker_id)
    return {shown: wireCodebase(parts, codebase, owner), owner}
  })
  if (includeDuplicates) return entries.map(({shown}) => shown)

  const groups = Map.groupBy(entries, ({shown: {id, hostname, path}}) => (hostname ? `${hostname}\n${path}` : id))
  return [...groups.values()].flatMap((group) => merge(parts, group))
}

type Entry = {shown: Codebase; owner: StoredWorker | undefined}

function merge(parts: Parts, group: Entry[]): Codebase[] {
  const live = group.filter(({shown, owner}) => shown.served || (owner && isActive(parts, owner)))
  const latest = group.toSorted((a, b) => ((a.owner?.last_seen ?? '') < (b.owner?.last_seen ?? '') ? 1 : -1))
  const [first, ...others] = live.length > 0 ? live : latest.slice(0, 1)
  if (!first) return []
  const shown = new Set([first, ...others])
  const aliases = group.filter((entry) => !shown.has(entry)).map((entry) => entry.shown.id)
  const merged = aliases.length > 0 ? {...first.shown, aliases, duplicate_count: aliases.length} : first.shown
  return [merged, ...others.map(({shown}) => shown)]
}
