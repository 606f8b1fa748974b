import type {Task} from '../protocol/schemas.ts'
import {defaultProgram} from './definitions.ts'

/** The agent that a task names in its metadata. Undefined leaves it to the worker, which uses OpenCode. */
export function programOf({metadata}: Pick<Task, 'metadata'>): string | undefined {
  const name = metadata['agent_program']
  return typeof name === 'string' && name !== '' && name !== defaultProgram ? name : undefined
}
