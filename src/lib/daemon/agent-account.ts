import {chmodSync, existsSync, mkdtempSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {Config} from '../config/settings.ts'
import {isDiskFull} from '../core/disk-full.ts'
import {configError} from '../core/errors.ts'
import {findAgentUser, mayBecome, type AgentUser} from '../opencode/program/agent-user.ts'
import {installReporter} from '../opencode/program/reporter.ts'

/**
 * Returns the path of the plugin. Without space for it, runs begin without it: it only sees more of what the agent does.
 * Another user reads it in a folder that all may enter; that may have been cleaned since.
 */
export function reporterFor(user: AgentUser | undefined, scratchDir: string): () => string | undefined {
  let folder = user ? undefined : scratchDir
  return () => {
    try {
      if (folder === undefined || !existsSync(folder)) {
        folder = mkdtempSync(join(tmpdir(), 'a2a-worker-'))
        chmodSync(folder, 0o755)
      }
      return installReporter(folder, user ? 0o644 : 0o600)
    } catch (error) {
      if (isDiskFull(error)) return undefined
      throw error
    }
  }
}

/** The user of the setting `agent_user`, if this process can start agents as that user. Throws ExpectedError (78). */
export function usableAgentUser({agent_user: name}: Config): AgentUser | undefined {
  const user = findAgentUser(name)
  if (!user || mayBecome(user)) return user
  throw configError(
    `agent_user is ${user.name}, but this process may not start programs as that user`,
    `Run it as root, or as a service: sudo a2a-worker install-service --agent-user ${user.name}`,
    'Programs are started by setpriv (Debian package: util-linux).',
  )
}
