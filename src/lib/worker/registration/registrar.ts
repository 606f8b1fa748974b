import {messageOf} from '../../core/errors.ts'
import type {Emit} from '../../events/bus.ts'
import {noUsage, type Executor, type RunOutcome} from '../../executor/executor.ts'
import {pendingCodebase} from '../../protocol/routes.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Codebases} from './codebases.ts'
import type {Registration} from './registration.ts'

export type RegistrarParts = {codebases: Codebases; registration: Registration; emit: Emit; signal: AbortSignal}

/** A task that asks for a codebase to be registered by whichever worker has its path. */
export const isRegistration = ({agent_type, codebase_id}: Pick<Task, 'agent_type' | 'codebase_id'>) =>
  agent_type === 'register_codebase' && codebase_id === pendingCodebase

const textOf = (value: unknown) => (typeof value === 'string' ? value : '')

/** The path that is to be registered; undefined where the task does not say. */
export const wantedPath = ({metadata}: Task): string | undefined => textOf(metadata['path']) || undefined

/** Runs registration tasks: no process, one call to the server. */
export const registrar =
  (parts: RegistrarParts) =>
  (task: Task): Executor => ({
    prepare: async () => ({
      start: async () => ({outcome: register(task, parts), stop: () => {}}),
      discard: () => {},
    }),
  })

async function register(task: Task, {codebases, registration, emit, signal}: RegistrarParts): Promise<RunOutcome> {
  const path = wantedPath(task)
  const name = textOf(task.metadata['name']) || (path?.split('/').at(-1) ?? '')
  if (path === undefined) return failed('No path provided in registration task')
  emit({
    type: 'notice',
    level: 'info',
    taskId: task.id,
    text: `Handling registration task ${task.id}: ${name} at ${path}`,
  })
  const problem = codebases.problemWith(path)
  if (problem !== undefined) return failed(problem)
  try {
    const codebase = {name, path, description: textOf(task.metadata['description'])}
    const id = await registration.add(codebase, {isKept: true, signal})
    return {...failed(''), status: 'completed', error: null, result: `Codebase registered successfully with ID: ${id}`}
  } catch (error) {
    return failed(`Failed to register codebase with server: ${messageOf(error)}`)
  }
}

const failed = (error: string): RunOutcome => ({
  status: 'failed',
  result: null,
  error,
  sessionId: null,
  usage: {...noUsage, duration_ms: 0},
})
