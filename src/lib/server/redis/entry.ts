import type {Change, RecordChange} from '../state/decision.ts'
import type {StateEvent} from '../state/events.ts'
import type {State} from '../state/state.ts'
import {updatedRecord} from '../state/updated-record.ts'

/** What one commit has changed, what it tells of, and when it was decided (Unix ms). */
export type Entry = {changes: readonly Change[]; events: readonly StateEvent[]; at: number}

type TaskUpdate = Extract<RecordChange, {kind: 'task'; do: 'update'}>
type SentChange = Exclude<Change, TaskUpdate> | Omit<TaskUpdate, 'record'>
type Given = Extract<StateEvent, {type: 'give'}>
type Printed = Extract<StateEvent, {type: 'output'}>
/** A frame to a worker names its task, and an output the change that has its text. */
type SentEvent =
  | Exclude<StateEvent, {type: 'give' | 'output'}>
  | (Omit<Given, 'task'> & {taskId: string; attempt: number})
  | (Omit<Printed, 'output'> & {change: number})

type SentEntry = {at: number; changes: SentChange[]; events: SentEvent[]}

/** An entry as text. Of a changed task it contains what was changed only. */
export function encodeEntry({changes, events, at}: Entry): string {
  const sent: SentEntry = {
    at,
    changes: changes.map((change) => (isTaskUpdate(change) ? {...change, record: undefined} : change)),
    events: events.map((event) => sentEvent(event, changes)),
  }
  return JSON.stringify(sent)
}

function sentEvent(event: StateEvent, changes: readonly Change[]): SentEvent {
  if (event.type === 'give') {
    const {task, ...rest} = event
    return {...rest, taskId: task.id, attempt: task.attempt}
  }

  if (event.type !== 'output') return event
  const {output, ...rest} = event
  const isIt = (change: Change) =>
    change.do === 'append-output' && change.output.task_id === event.task.id && change.output.output === output
  return {...rest, change: changes.findIndex(isIt)}
}

/** The entry of a text: changes to be applied one after the other, and then events. */
export function decodeEntry(text: string): SentEntry {
  return JSON.parse(text) as SentEntry
}

/** A received change, for the state before it. Undefined: its task is gone. */
export function receivedChange(state: State, change: SentChange): Change | undefined {
  if (!isTaskUpdate(change)) return change as Change
  const former = state.get('task', change.id)
  return former && ({...change, record: updatedRecord(former, change.fields, change.by)} as TaskUpdate)
}

/** A received event, for the state after the changes. Undefined: it is outdated, and a later event says what counts. */
export function receivedEvent(state: State, event: SentEvent, changes: readonly SentChange[]): StateEvent | undefined {
  if (event.type === 'output') {
    const {change, ...rest} = event
    const stored = changes[change]
    return stored?.do === 'append-output' ? {...rest, output: stored.output.output} : undefined
  }

  if (event.type !== 'give') return event
  const {taskId, attempt, ...rest} = event
  const task = state.get('task', taskId)
  return task?.attempt === attempt ? {...rest, task} : undefined
}

const isTaskUpdate = (change: SentChange | Change): change is TaskUpdate =>
  'kind' in change && change.kind === 'task' && change.do === 'update'
