import {statSync} from 'node:fs'
import {homedir} from 'node:os'
import {ExpectedError} from '../core/errors.ts'
import {formatBytes} from '../core/text/format-bytes.ts'
import {environmentOfUser, findAgentUser} from '../opencode/program/agent-user.ts'
import {findStorage} from '../opencode/storage/session-storage.ts'
import {ok, skipped, warning, type Finding, type MachineContext} from './finding.ts'

/** Shows where OpenCode keeps its sessions, and how large its database is: it grows with each task. */
export async function checkStorage({config, env: own}: MachineContext): Promise<Finding[]> {
  const check = 'sessions'
  try {
    const env = environmentOfUser(own, findAgentUser(config.agent_user))
    const home = env['HOME'] || homedir()
    const storage = await findStorage({setting: config.opencode_storage_path, env, home})
    if (!storage) return [skipped(check, 'OpenCode has none yet')]
    if (storage.kind === 'tree') return [ok(check, storage.path)]
    const files = [storage.path, `${storage.path}-wal`]
    const bytes = files.reduce((sum, file) => sum + (statSync(file, {throwIfNoEntry: false})?.size ?? 0), 0)
    return [ok(check, `${storage.path}, ${formatBytes(bytes)}`)]
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error
    return [warning(check, error.message, ...error.suggestions)]
  }
}
