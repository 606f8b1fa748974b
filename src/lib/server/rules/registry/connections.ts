import type {Draft, Rule} from '../../state/draft.ts'
import {all, type Connection, pair} from '../../state/records.ts'
import {fill, placeById} from '../dispatch/assignment.ts'
import {forgetBackoffsOfWorker} from '../dispatch/backoffs.ts'
import {closeStream, recordContact} from '../dispatch/contact.ts'
import {profileOf} from '../dispatch/roster.ts'
import {deliverAll} from '../tasks/dialogue.ts'
import {askToStop} from '../tasks/task-life.ts'

/**
 * A worker has opened its task stream. What it missed or declined may be given to it again. It is told again what it
 * holds and has not confirmed, what it should stop, and what people have said to its runs.
 */
export const connect: Rule<Connection, void> = (draft, connection) => {
  const {workerId} = connection
  const held = [...draft.find('leasesOf', workerId)]
  const older = draft.get('connection', workerId)
  if (older) draft.emit({type: 'close-stream', workerId, connectionId: older.connectionId})
  recordContact(draft, workerId)
  draft.put('connection', workerId, connection)
  announceConnection(draft, connection, 'connected')
  for (const {taskId, isConfirmed, doubtfulSince} of held) {
    const task = draft.get('task', taskId)
    if (!task) continue
    draft.update('lease', taskId, {doubtfulSince: doubtfulSince ?? draft.time})
    if (!isConfirmed) draft.emit({type: 'give', task, workerId, status: 'assigned'})
    if (isConfirmed) deliverAll(draft, taskId)
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
  const connection = draft.get('connection', workerId)
  if (connection?.connectionId === connectionId) {
    draft.remove('connection', workerId)
    announceConnection(draft, connection, 'disconnected')
    for (const {codebaseId} of [...draft.find('turnsOf', workerId)]) draft.remove('turn', pair(workerId, codebaseId))
  }
  const open = [...draft.find('offersOf', workerId)].filter((offer) => offer.connectionId === connectionId)
  for (const {taskId} of open) draft.remove('offer', taskId)
  for (const {taskId} of open) placeById(draft, taskId)
}

function announceConnection(
  draft: Draft,
  {workerId, agentName: name}: Connection,
  change: 'connected' | 'disconnected',
): void {
  draft.emit({type: 'worker', change, workerId, name, hostname: profileOf(draft, workerId).hostname})
}

/** The process of an open stream is asked for a heartbeat, because another one has announced itself. */
export const askInstance: Rule<{workerId: string; connectionId: string}, void> = (draft, {workerId, connectionId}) => {
  const connection = draft.get('connection', workerId)
  if (connection?.connectionId !== connectionId || connection.askedAt !== undefined) return
  draft.update('connection', workerId, {askedAt: draft.time})
  draft.emit({type: 'check-instance', workerId, connectionId})
}

/** The process that was asked has answered, or (`isSilent`) has not: its stream is closed then. */
export const noteAnswer: Rule<{workerId: string; connectionId: string; isSilent: boolean}, void> = (
  draft,
  {workerId, connectionId, isSilent},
) => {
  const connection = draft.get('connection', workerId)
  if (connection?.connectionId !== connectionId || connection.askedAt === undefined) return
  if (isSilent) closeStream(draft, workerId)
  else draft.update('connection', workerId, {askedAt: undefined})
}

/** A person has written to an agent. */
export const intervene: Rule<{agentId: string; text: string}, void> = (draft, {agentId, text}) =>
  draft.emit({type: 'intervention', agentId, text})

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
