import type {Audited} from '../../protocol/audit-schemas.ts'
import type {Kind, Records} from './records.ts'
import type {StateEvent} from './events.ts'
import type {SessionChange} from './session-changes.ts'

/** A piece of output to store. */
export type NewOutput = {
  task_id: string
  seq: number
  attempt: number
  worker_id: string
  timestamp: string
  output: string
  offset: number | null
  length: number | null
}

/** An entry of the audit. The engine numbers it. */
export type NewAuditEntry = {
  at: string
  what: Audited
  who: string | null
  task_id: string | null
  worker_id: string | null
  detail: string | null
  count: number
}

/** The next state of one record. Of an update, `fields` were set and `by` was added; `record` is the result. */
export type RecordChange<K extends Kind = Kind> = {
  [Each in K]:
    | {do: 'put'; kind: Each; id: string; record: Records[Each]}
    | {do: 'update'; kind: Each; id: string; record: Records[Each]; fields: Partial<Records[Each]>; by: Numbers<Each>}
    | {do: 'remove'; kind: Each; id: string}
}[K]
export type Numbers<K extends Kind> = Partial<Record<keyof Records[K], number>>

/** What a decision changes. An engine applies all changes of a decision, or none. */
export type Change =
  | RecordChange
  | {do: 'append-output'; output: NewOutput}
  | {do: 'audit'; entry: NewAuditEntry}
  /** The models that a worker announces. They are long, and no rule reads them. */
  | {do: 'set-models'; workerId: string; models: unknown[]}
  | SessionChange
  /** Removal of what is old: a method of the engine's maintenance, and its arguments. */
  | {do: 'maintain'; method: string; args: unknown[]}

/** What a request does: an answer, changes, and what happens once they are on disk. */
export type Decision<Answer = unknown> = {
  answer: Answer
  changes: readonly Change[]
  events: readonly StateEvent[]
}
