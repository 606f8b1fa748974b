import type {Draft, Rule} from '../../state/draft.ts'
import {all, type Connection, pair} from '../../state/records.ts'
import {fill, placeById} from '../dispatch/assignment.ts'
import {forgetBackoffsOfWorker} from '../dispatch/backoffs.ts'
import {recordContact} from '../dispatch/contact.ts'
import {askToStop} from '../tasks/task-life.ts'

/**
 * A worker has opened its task stream. What it missed or declined may be given to it again. It is told again what it
 * holds and has not confirmed, and what it should stop.
 */
export const connect: Rule<Connection, void> = (draft, connection) => {
  const {workerId} = connection
  const held = [...draft.find('leasesOf', workerId)]
  recordContact(draft, workerId)
  draft.put('connection', workerId, connection)
  for (const {taskId, isConfirmed, doubtfulSince} of held) {
    const task = draft.whole('task', taskId)
    if (!task) continue
    draft.update('lease', taskId, {doubtfulSince: doubtfulSince ?? draft.time})
    if (!isConfirmed) draft.emit({type: 'give', task, workerId, status: 'assigned'})
    if (task.cancel_requested_at !== null) askToStop(draft, workerId, task, 'cancelled while you were away')
  }

  onReturned(draft, workerId)
}

/** The worker has connected or registered: what it missed or declined may be given to it again. */
export function onReturned(draft: Draft, workerId: string): void {
  forgetBackoffsOfWorker(draft, workerId)
  fill(draft, workerId)
}

/** A task stream has ended: its offers go to other workers. What the worker holds stays its own until its lease ends. */
export const disconnect: Rule<{workerId: string; connectionId: string}, void> = (draft, {workerId, connectionId}) => {
  recordContact(draft, workerId)
  if (draft.get('connection', workerId)?.connectionId === connectionId) {
    draft.remove('connection', workerId)
    for (const {codebaseId} of [...draft.find('turnsOf', workerId)]) draft.remove('turn', pair(workerId, codebaseId))
  }
  const open = [...draft.find('offersOf', workerId)].filter((offer) => offer.connectionId === connectionId)
  for (const {taskId} of open) draft.remove('offer', taskId)
  for (const {taskId} of open) placeById(draft, taskId)
}

/** The open stream of a worker names these codebases now. */
export const nameCodebases: Rule<{workerId: string; codebases: readonly string[]}, void> = (
  draft,
  {workerId, codebases},
) => {
  draft.update('connection', workerId, {codebases})
  fill(draft, workerId)
}

/** Gives waiting tasks to all connected workers, for example after a change was lost. */
export const fillAll: Rule<void, void> = (draft) => {
  for (const {workerId} of [...draft.find('connections', all)]) fill(draft, workerId)
}
