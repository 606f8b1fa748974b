import type {Change, Decision} from '../state/decision.ts'
import type {StateEvent} from '../state/events.ts'
import type {Maintenance} from '../store/maintenance.ts'
import type {Step} from '../store/engine.ts'
import type {Entry} from './entry.ts'
import {recording} from './recorded-maintenance.ts'
import type {Replica} from './replica.ts'

/** Decisions of one commit, and their size in UTF-16 units, roughly. */
export const maxBatch = 200
const maxBatchChars = 1024 * 1024

/** A decision that somebody waits for. */
export type Job = {
  step: Step<unknown>
  resolve: (answer: unknown) => void
  reject: (error: unknown) => void
  decision?: Decision | undefined
  failure?: {error: unknown} | undefined
}

/** Decisions that are applied, and can be taken back until they are kept. */
export type Batch = Entry & {
  /** How many jobs it has. There was no room for the others. */
  size: number
  keep: () => void
  takeBack: () => void
}

/** Makes decisions on top of each other. */
export class Batches {
  readonly #replica: Replica
  readonly #maintenance: Maintenance
  /** What maintenance of the present step has done. */
  #maintained: Change[] = []

  constructor(replica: Replica) {
    this.#replica = replica
    this.#maintenance = recording(replica.store.maintenance, (change) => this.#maintained.push(change))
  }

  /** Decides for as many jobs as one commit has room for. Each job gets its decision, or its failure. */
  decide(jobs: readonly Job[]): Batch {
    const {database, store} = this.#replica
    const {state} = store
    const undo: (() => void)[] = []
    const changes: Change[] = []
    const events: StateEvent[] = []
    let hasMaintained = false
    database.exec('BEGIN IMMEDIATE')
    const end = (how: 'COMMIT' | 'ROLLBACK') => {
      if (database.isTransaction) database.exec(how)
    }
    const takeBack = () => {
      end('ROLLBACK')
      for (const step of undo.splice(0).toReversed()) step() // once: more may have been applied since
      if (hasMaintained) store.restore()
    }
    let chars = 0
    let size = 0
    for (const job of jobs) {
      if (chars > maxBatchChars) break
      const {maintained, undo: undoOne} = this.#decideOne(job)
      if (undoOne) undo.push(undoOne)
      hasMaintained ||= maintained.length > 0
      const made = job.decision?.changes ?? []
      changes.push(...maintained, ...made)
      events.push(...(job.decision?.events ?? []))
      chars += sizeOf(made)
      size += 1
    }

    return {changes, events, at: state.now, size, keep: () => end('COMMIT'), takeBack}
  }

  #decideOne(job: Job): {maintained: Change[]; undo: (() => void) | undefined} {
    const {store} = this.#replica
    this.#maintained = []
    job.failure = undefined
    let undo: (() => void) | undefined
    try {
      job.decision = job.step(this.#maintenance)
      undo = store.state.undoOf(job.decision.changes)
      store.apply(job.decision.changes)
    } catch (error) {
      job.failure = {error}
      job.decision = undefined
    }

    return {maintained: this.#maintained, undo}
  }
}

/** Tells whoever waits for the jobs how they ended. */
export function settle(jobs: readonly Job[]): void {
  for (const {decision, failure, resolve, reject} of jobs) {
    if (failure) reject(failure.error)
    else resolve(decision?.answer)
  }
}

/** Of what may be long. */
function sizeOf(changes: readonly Change[]): number {
  let chars = 0
  for (const change of changes) {
    if (change.do === 'append-output') chars += change.output.output.length
    else if (change.do === 'put-message') chars += change.message.data.length
    else if (change.do === 'put' && change.kind === 'task') chars += change.record.prompt.length
    else if (change.do === 'update' && change.kind === 'task') chars += change.fields.result?.length ?? 0
  }
  return chars
}
