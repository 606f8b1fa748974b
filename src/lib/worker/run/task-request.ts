import type {Config} from '../../config/settings.ts'
import type {RunOutcome, RunRequest} from '../../executor/executor.ts'
import {normalizeModel} from '../../opencode/program/command.ts'
import {isFinal, type StatusUpdate, type Task} from '../../protocol/schemas.ts'
import {isRegistration} from '../registration/registrar.ts'
import {directoryProblem} from '../registration/registration.ts'

/** Kinds of tasks that need neither agent nor codebase. */
export const isBuiltin = ({agent_type}: Pick<Task, 'agent_type'>) => agent_type === 'echo' || agent_type === 'noop'

const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)

/** The model that a task asks for; undefined where that is left to OpenCode. */
export const modelOf = (task: Task) => normalizeModel(textOf(task.metadata['model']) ?? task.model)

/** The attempt as reports carry it: a server without attempts is told none. */
export const attemptOf = ({attempt}: Pick<Task, 'attempt'>) => (attempt > 0 ? {attempt} : {})

/** Why this worker does not run a task that it was given, whatever the server says; undefined when it does. */
export function refusalOf(task: Task, codebase: string, config: Config): string | undefined {
  if (isRegistration(task)) return undefined
  const {allowed_agents: agents, allowed_models: models} = config
  if (agents && !agents.includes(task.agent_type))
    return `This worker does not run the agent ${task.agent_type} (allowed_agents: ${agents.join(', ')})`
  const model = modelOf(task)
  if (models && (model === undefined || !models.includes(model)))
    return `This worker does not run ${model === undefined ? 'tasks that name no model' : `the model ${model}`} (allowed_models: ${models.join(', ')})`
  if (task.prompt.trim() === '') return 'The task has no prompt'
  const problem = directoryProblem(codebase)
  return problem?.startsWith('the path') ? `${codebase}: ${problem} on this worker` : problem
}

type Place = {cwd: string; runDir: string; marker: string; config: Config}

export const deadlinesOf = (config: Config): RunRequest['deadlines'] => ({
  startup: config.startup_timeout * 1000,
  idle: config.idle_timeout * 1000,
  tool: config.tool_timeout * 1000,
  total: config.task_timeout * 1000,
  grace: config.cancel_grace * 1000,
})

/** What the executor is asked to do. */
export function requestOf(task: Task, {cwd, runDir, marker, config}: Place): RunRequest {
  return {
    taskId: task.id,
    attempt: task.attempt,
    title: task.title,
    prompt: task.prompt,
    agent: task.agent_type,
    model: modelOf(task),
    sessionId: textOf(task.metadata['resume_session_id']),
    cwd,
    runDir,
    marker,
    deadlines: deadlinesOf(config),
  }
}

/** The final report, as it is frozen in the journal. */
export function reportOf(run: Pick<Task, 'attempt'>, outcome: RunOutcome, workerId: string): StatusUpdate {
  if (!isFinal(outcome.status)) throw new Error(`a run cannot end as ${outcome.status as string}`)
  return {
    status: outcome.status,
    worker_id: workerId,
    result: outcome.result,
    error: outcome.error,
    session_id: outcome.sessionId,
    usage: outcome.usage,
    ...attemptOf(run),
  }
}

/** The run did not come to an end here: the task waits for whoever takes it next. */
export const giveBackOf = (run: Pick<Task, 'attempt'>, reason: string, workerId: string): StatusUpdate => ({
  status: 'pending',
  worker_id: workerId,
  error: reason,
  ...attemptOf(run),
})
