import type {Emit} from '../../events/bus.ts'
import type {AgentUser} from '../../opencode/program/agent-user.ts'
import {clearGitLocks, type GitLock} from '../locks/git-locks.ts'

/** A run whose processes have all ended, and which has held the lock of its working tree since `since` (Unix ms). */
export type EndedRun = {taskId: string; path: string; since: number}

/**
 * Removes the git locks that the agent of a run has left because it was killed, and reports that. Returns a hint for the
 * error of the task if there are others, which the next task would find too.
 */
export type ClearLeftLocks = (run: EndedRun) => string | undefined

export const leftLockCleaner =
  ({dataDir, emit, user}: {dataDir: string; emit: Emit; user: AgentUser | undefined}): ClearLeftLocks =>
  ({taskId, path, since}) => {
    const {removed, left} = clearGitLocks({path, dataDir, since, user})
    for (const lock of removed)
      emit({type: 'notice', level: 'warn', taskId, text: `Removed ${lock.path}, which the killed agent has left`})
    return left[0] && `${lockText(left[0])}. If none is at work there, remove it: rm ${left[0].path}`
  }

const lockText = ({path, changedAt}: GitLock) =>
  `${path} is there since ${new Date(changedAt).toISOString()}: another git is at work, or was killed`
