import type {Config} from '../../config/settings.ts'
import type {RunLimits, RunRequest} from '../../executor/executor.ts'
import type {Task} from '../../protocol/schemas.ts'
import {programOf} from '../../protocol/agent-program.ts'
import {modelOf} from '../admission/policy.ts'

/** Whether a task needs neither agent nor codebase. */
export const isBuiltin = ({agent_type}: Pick<Task, 'agent_type'>) => agent_type === 'echo' || agent_type === 'noop'

const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)

export const deadlinesOf = (config: Config): RunRequest['deadlines'] => ({
  startup: config.startup_timeout * 1000,
  idle: config.idle_timeout * 1000,
  tool: config.tool_timeout * 1000,
  total: config.task_timeout * 1000,
  provider: config.max_provider_wait * 1000,
  grace: config.cancel_grace * 1000,
})

export const maxOutputBytesOf = ({max_output_mb: mebibytes}: Config) => mebibytes * 1024 ** 2

/** The limits of a run. A task may only lower those of the worker. `left`: what the worker may spend today, in dollars. */
export function limitsOf({metadata}: Pick<Task, 'metadata'>, config: Config, left?: number): RunLimits {
  const lowest = (setting: number, key: string, ...more: (number | undefined)[]) => {
    const wish = Number(metadata[key])
    const all = [setting, Number.isFinite(wish) ? wish : 0].filter((limit) => limit > 0)
    const limits = [...all, ...more.filter((limit) => limit !== undefined)]
    return limits.length > 0 ? Math.min(...limits) : undefined
  }
  return {
    cost: lowest(config.max_cost, 'max_cost', left),
    tokens: lowest(config.max_tokens, 'max_tokens'),
    turns: lowest(config.max_turns, 'max_turns'),
  }
}

type Place = {cwd: string; runDir: string; marker: string; config: Config}

/** The request to the executor. */
export function requestOf(task: Task, {cwd, runDir, marker, config}: Place): RunRequest {
  return {
    taskId: task.id,
    attempt: task.attempt,
    title: task.title,
    prompt: task.prompt,
    agent: task.agent_type,
    program: programOf(task.metadata),
    model: modelOf(task),
    sessionId: textOf(task.metadata['resume_session_id']),
    cwd,
    runDir,
    marker,
    deadlines: deadlinesOf(config),
    maxOutputBytes: maxOutputBytesOf(config),
  }
}
