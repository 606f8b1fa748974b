import {realpathSync} from 'node:fs'
import type {AgentSession} from '../../opencode/storage/agent-session.ts'
import type {ActiveTask} from './active-task.ts'

/** Finds a session by id. Resolves with undefined if there is none, and rejects if the storage cannot be read. */
export type FindSession = (id: string) => Promise<AgentSession | undefined>

export type ResumeCheckOptions = {
  /** Undefined if the agent's storage is unknown. The agent then has to report the problem. */
  findSession: FindSession | undefined
  activeTasks: () => readonly ActiveTask[]
}

/**
 * Why a session cannot be resumed here. Undefined if it can, or if that is unknown. OpenCode itself would run the task
 * in the session's old directory without an error, or wait forever.
 */
export async function resumeProblem(
  sessionId: string,
  {taskId, directory}: {taskId: string; directory: string},
  {findSession, activeTasks}: ResumeCheckOptions,
): Promise<string | undefined> {
  const user = activeTasks().find((task) => task.id !== taskId && task.sessionId === sessionId)
  if (user) return `The session ${sessionId} is in use by task ${user.id}: wait for its end, or leave the session out`
  if (!findSession) return undefined
  let session: AgentSession | undefined
  try {
    session = await findSession(sessionId)
  } catch {
    return undefined
  }

  if (!session)
    return `There is no session ${sessionId} on this worker: \`a2a-worker sessions list\` shows those there are`
  const here = realpathSync.native(directory)
  if (session.directory === here) return undefined
  return `The session ${sessionId} belongs to ${session.directory}, not to ${here}: OpenCode continues a session only where it was begun`
}
