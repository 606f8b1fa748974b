import type {Config} from '../../config/settings.ts'
import {normalizeModel} from '../../opencode/program/command.ts'
import type {Task} from '../../protocol/schemas.ts'
import {namedModel} from '../../signing/task-claims.ts'
import {directoryProblem} from '../registration/directory-problem.ts'

/** The model that a task names. Undefined leaves the choice to OpenCode. */
export const modelOf = (task: Task) => normalizeModel(namedModel(task))

/** Why the settings of this worker do not allow a task, or undefined if they do. `path`: that of its codebase. */
export function policyProblem(task: Task, path: string, config: Config): string | undefined {
  const {allowed_agents: agents, allowed_models: models} = config
  if (agents && !agents.includes(task.agent_type))
    return `This worker does not run the agent ${task.agent_type} (allowed_agents: ${agents.join(', ')})`
  const model = modelOf(task)
  if (models && (model === undefined || !models.includes(model)))
    return `This worker does not run ${model === undefined ? 'tasks that name no model' : `the model ${model}`} (allowed_models: ${models.join(', ')})`
  if (task.prompt.trim() === '') return 'The task has no prompt'
  const problem = directoryProblem(path)
  return problem?.startsWith('the path') ? `${path}: ${problem} on this worker` : problem
}
