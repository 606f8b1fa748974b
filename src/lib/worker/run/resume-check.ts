import {realpathSync} from 'node:fs'
import type {AgentSession} from '../../opencode/storage/agent-session.ts'
import type {ActiveTask} from './see-run.ts'

/** The session of this id, undefined where there is none; rejects where that cannot be told. */
export type FindSession = (id: string) => Promise<AgentSession | undefined>

export type ResumeParts = {
  /** Undefined: the agent's storage is not known, so it has to say itself what is wrong. */
  findSession: FindSession | undefined
  inHand: () => readonly ActiveTask[]
}

/**
 * Why a session cannot be continued here; undefined when it can, or when that cannot be told. OpenCode itself would run
 * the task in the session's old directory without a word, or wait for ever.
 */
export async function resumeProblem(
  sessionId: string,
  {taskId, directory}: {taskId: string; directory: string},
  {findSession, inHand}: ResumeParts,
): Promise<string | undefined> {
  const user = inHand().find((task) => task.id !== taskId && task.sessionId === sessionId)
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
