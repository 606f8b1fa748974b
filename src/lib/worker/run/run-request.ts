import type {Config} from '../../config/settings.ts'
import type {RunRequest} from '../../executor/executor.ts'
import type {Task} from '../../protocol/schemas.ts'
import {programOf} from '../../agents/task-program.ts'
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

type Place = {cwd: string; runDir: string; marker: string; config: Config}

/** The request to the executor. */
export function requestOf(task: Task, {cwd, runDir, marker, config}: Place): RunRequest {
  return {
    taskId: task.id,
    attempt: task.attempt,
    title: task.title,
    prompt: task.prompt,
    agent: task.agent_type,
    program: programOf(task),
    model: modelOf(task),
    sessionId: textOf(task.metadata['resume_session_id']),
    cwd,
    runDir,
    marker,
    deadlines: deadlinesOf(config),
    maxOutputBytes: maxOutputBytesOf(config),
  }
}
