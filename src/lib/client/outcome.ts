import {exitCodes} from '../core/errors.ts'
import type {Task} from '../protocol/schemas.ts'

/** The exit code of a command that has waited for a task. */
export function outcomeCode({status}: Pick<Task, 'status'>): number {
  if (status === 'completed') return exitCodes.ok
  return status === 'cancelled' ? exitCodes.cancelled : exitCodes.failed
}
