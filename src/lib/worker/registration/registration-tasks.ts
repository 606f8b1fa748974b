import {messageOf} from '../../core/errors.ts'
import type {Emit} from '../../events/bus.ts'
import {noUsage, type Executor, type RunOutcome} from '../../executor/executor.ts'
import {pendingCodebase} from '../../protocol/routes.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Codebases} from './codebases.ts'
import type {Registration} from './registration.ts'

type RegistrationTaskOptions = {codebases: Codebases; registration: Registration; emit: Emit; signal: AbortSignal}

/** Whether a task asks for a codebase to be registered by a worker that has its path. */
export const isRegistrationTask = ({agent_type, codebase_id}: Pick<Task, 'agent_type' | 'codebase_id'>) =>
  agent_type === 'register_codebase' && codebase_id === pendingCodebase

const textOf = (value: unknown) => (typeof value === 'string' ? value : '')

/** The path to register, or undefined if the task does not name one. */
export const requestedPath = ({metadata}: Task): string | undefined => textOf(metadata['path']) || undefined

/** Returns the executor of a registration task. It starts no process: it makes one call to the control plane. */
export const registrationExecutor =
  (options: RegistrationTaskOptions) =>
  (task: Task): Executor => ({
    prepare: async () => ({
      start: async () => ({outcome: register(task, options), stop: () => {}}),
      discard: () => {},
    }),
  })

async function register(task: Task, options: RegistrationTaskOptions): Promise<RunOutcome> {
  const {codebases, registration, emit, signal} = options
  const path = requestedPath(task)
  const name = textOf(task.metadata['name']) || (path?.split('/').at(-1) ?? '')
  if (path === undefined) return failed('No path provided in registration task')
  const text = `Handling registration task ${task.id}: ${name} at ${path}`
  emit({type: 'notice', level: 'info', taskId: task.id, text})
  const problem = codebases.problemWith(path)
  if (problem !== undefined) return failed(problem)
  try {
    const codebase = {name, path, description: textOf(task.metadata['description'])}
    const id = await registration.addCodebase(codebase, {isPersistent: true, signal})
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
