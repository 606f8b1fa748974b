import {spawn} from 'node:child_process'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {asAgentUser, type AgentUser} from '../../opencode/program/agent-user.ts'
import {digest} from './run-groups.ts'

/** The temporary folder of a run whose agent is another user, who cannot enter the folder of the run. */
export const folderOfUser = (marker: string): string => join(tmpdir(), `a2a-run-${digest(marker, 16)}`)

/** Removes it as that user, because only that user can. */
export function removeFolderOfUser(user: AgentUser, marker: string): void {
  const [program, args] = asAgentUser(user, ['rm', '-rf', '--', folderOfUser(marker)])
  // What it cannot remove now is removed with other old files of that folder.
  spawn(program, args, {cwd: '/', stdio: 'ignore'}).on('error', () => {})
}
