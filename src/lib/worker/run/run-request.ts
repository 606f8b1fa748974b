import type {Config} from '../../config/settings.ts'
import type {RunRequest} from '../../executor/executor.ts'
import {normalizeModel} from '../../opencode/program/command.ts'
import type {Task} from '../../protocol/schemas.ts'
import {directoryProblem} from '../registration/directory-problem.ts'
import {isRegistrationTask} from '../registration/registration-tasks.ts'

/** Whether a task needs neither agent nor codebase. */
export const isBuiltin = ({agent_type}: Pick<Task, 'agent_type'>) => agent_type === 'echo' || agent_type === 'noop'

const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)

/** The model that a task names. Undefined leaves the choice to OpenCode. */
export const modelOf = (task: Task) => normalizeModel(textOf(task.metadata['model']) ?? task.model)

/** Why this worker refuses to run a task that it was given, or undefined. */
export function refusalOf(task: Task, codebase: string, config: Config): string | undefined {
  if (isRegistrationTask(task)) return undefined
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

export const deadlinesOf = (config: Config): RunRequest['deadlines'] => ({
  startup: config.startup_timeout * 1000,
  idle: config.idle_timeout * 1000,
  tool: config.tool_timeout * 1000,
  total: config.task_timeout * 1000,
  provider: config.max_provider_wait * 1000,
  grace: config.cancel_grace * 1000,
})

export const maxOutputBytesOf = ({max_output_mb: mebibytes}: Config) => mebibytes * 1024 ** 2

type Place = {cwd: string; runDir: string; marker: string; config: Config}

/** The request to the executor. */
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
    maxOutputBytes: maxOutputBytesOf(config),
  }
}
