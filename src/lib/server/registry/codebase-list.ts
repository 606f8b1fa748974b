import {globalCodebase} from '../../protocol/routes.ts'
import type {Codebase} from '../../protocol/schemas.ts'
import {lastSeenOf} from '../rules/dispatch/contact.ts'
import {requireCodebase} from '../rules/dispatch/required.ts'
import {connectionsFor} from '../rules/dispatch/roster.ts'
import {all, type StoredWorker} from '../state/records.ts'
import type {State} from '../state/state.ts'
import {isActive, wireCodebase} from './registry-view.ts'

/** A codebase as the wire shows it. `global` exists as soon as there is a worker. */
export function shownCodebase(state: State, id: string): Codebase {
  const isGlobal = id === globalCodebase && state.count('workers', all) > 0
  return isGlobal ? globalCodebaseView(state) : wireCodebase(state, requireCodebase(state, id))
}

function globalCodebaseView(state: State): Codebase {
  return {
    id: globalCodebase,
    name: globalCodebase,
    path: '',
    description: 'Tasks that are tied to no codebase',
    status: state.count('leasesIn', globalCodebase) > 0 ? 'running' : 'idle',
    worker_id: null,
    registered_at: null,
    agent_config: {},
    last_triggered: null,
    opencode_port: null,
    session_id: null,
    watch_mode: false,
    watch_interval: 5,
    served: connectionsFor(state, globalCodebase).length > 0,
    hostname: null,
  }
}

/**
 * All codebases, oldest first. Codebases with the same path on the same host are one directory. Unless duplicates are
 * requested, those of inactive workers are merged into one of an active worker, or into the most recently active one.
 * `only` restricts the list to one worker.
 */
export function listCodebases(
  state: State,
  {includeDuplicates, only}: {includeDuplicates: boolean; only?: string | undefined},
): Codebase[] {
  const found = only === undefined ? state.find('codebases', all) : state.find('codebasesOf', only)
  const codebases = [...found].toSorted((a, b) => compare(a.registered_at, b.registered_at) || compare(a.id, b.id))
  const entries = codebases.map((codebase): Entry => {
    const owner = state.get('worker', codebase.worker_id)
    const known = owner?.forgotten_at === null ? owner : undefined
    return {shown: wireCodebase(state, codebase, known), owner: known}
  })
  if (includeDuplicates) return entries.map(({shown}) => shown)

  const groups = Map.groupBy(entries, ({shown: {id, hostname, path}}) => (hostname ? `${hostname}\n${path}` : id))
  return [...groups.values()].flatMap((group) => merge(state, group))
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

type Entry = {shown: Codebase; owner: Readonly<StoredWorker> | undefined}

function merge(state: State, group: Entry[]): Codebase[] {
  const live = group.filter(({shown, owner}) => shown.served || (owner && isActive(state, owner)))
  const seenAt = ({owner}: Entry) => (owner ? lastSeenOf(state, owner) : '')
  const latest = group.toSorted((a, b) => (seenAt(a) < seenAt(b) ? 1 : -1))
  const [first, ...others] = live.length > 0 ? live : latest.slice(0, 1)
  if (!first) return []
  const shown = new Set([first, ...others])
  const aliases = group.filter((entry) => !shown.has(entry)).map((entry) => entry.shown.id)
  const merged = aliases.length > 0 ? {...first.shown, aliases, duplicate_count: aliases.length} : first.shown
  return [merged, ...others.map(({shown}) => shown)]
}
