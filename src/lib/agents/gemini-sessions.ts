import {existsSync} from 'node:fs'
import {homedir} from 'node:os'
import {basename, join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {namesIn} from '../core/paths/read-if-there.ts'

export type LoadOptions = {
  sessionId: string | undefined
  /** The variables that the agent gets. */
  env: NodeJS.ProcessEnv
  clock: Clock
  onWait?: ((ms: number) => void) | undefined
}

const minuteMs = 60_000

/**
 * Gemini CLI names the file of a session by the minute (UTC) and the first digits of its id. When it loads a session in
 * the minute in which it created it, it begins that file anew: the session is lost (0.53 to 0.61; issues 28693 and
 * 28775 of google-gemini/gemini-cli). Resolves at once, or when that minute is over.
 */
export async function untilLoadable(binary: string, {sessionId, env, clock, onWait}: LoadOptions): Promise<void> {
  if (basename(binary) !== 'gemini' || !sessionId) return
  const now = clock.now()
  const minute = new Date(now).toISOString().slice(0, 16).replaceAll(':', '-')
  const file = join('chats', `session-${minute}-${sessionId.slice(0, 8)}.jsonl`)
  const folder = join(env['GEMINI_CLI_HOME'] || env['HOME'] || homedir(), '.gemini', 'tmp')
  if (!namesIn(folder).some((project) => existsSync(join(folder, project, file)))) return
  const ms = minuteMs - (now % minuteMs)
  onWait?.(ms)
  await clock.sleep(ms)
}
