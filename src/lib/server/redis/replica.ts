import {messageOf} from '../../core/errors.ts'
import {savepointsOf} from '../../core/savepoint.ts'
import type {Database} from '../../core/sqlite.ts'
import type {Change} from '../state/decision.ts'
import type {Policy} from '../state/state.ts'
import {SqliteStore} from '../store/sqlite-store.ts'
import type {Head, LogEntry} from './decision-log.ts'
import {decodeEntry, type Entry, receivedChange, receivedEvent} from './entry.ts'
import {RecentEntries} from './recent-entries.ts'
import {repeat} from './recorded-maintenance.ts'
import type {RedisClock} from './redis-clock.ts'

export type ReplicaOptions = {
  /** Migrated, and empty or restored from an image. Only this replica uses it. */
  database: Database
  policy: Policy
  clock: RedisClock
}

/** The state of this replica is not that of the others, and cannot become it: the process must start again. */
export class DivergedError extends Error {}

/** What one replica has of the shared state: all entries of the log up to `head`, applied in memory and in its database. */
export class Replica {
  readonly database: Database
  readonly store: SqliteStore
  readonly recent = new RecentEntries()
  readonly #clock: RedisClock
  #head: Head

  constructor({database, policy, clock}: ReplicaOptions, head: Head) {
    this.database = database
    this.#clock = clock
    this.#head = head
    this.store = new SqliteStore({database, policy, clock, write: savepointsOf(database)})
    this.store.restore()
  }

  get head(): Head {
    return this.#head
  }

  /** Goes on to an entry that was applied when it was decided here. */
  advance({position, id, text}: LogEntry): void {
    this.#head = {position, id}
    this.recent.add({position, id, text})
  }

  /** Applies the entry after the head. Returns what it has changed, and its events. Throws DivergedError. */
  apply(entry: LogEntry): Entry {
    const {database, store} = this
    const {changes: sent, events, at} = decodeEntry(entry.text)
    this.#clock.reached(at)
    const changes: Change[] = []
    database.exec('BEGIN IMMEDIATE')
    try {
      for (const each of sent) {
        const change = receivedChange(store.state, each)
        if (!change) continue
        if (change.do === 'maintain') repeat(store.maintenance, change)
        else store.apply([change])
        changes.push(change)
      }

      database.exec('COMMIT')
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw new DivergedError(`entry ${entry.position} cannot be applied: ${messageOf(error)}`, {cause: error})
    }

    this.advance(entry)
    return {changes, at, events: events.flatMap((event) => receivedEvent(store.state, event, sent) ?? [])}
  }
}
