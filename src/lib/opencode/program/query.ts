import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {closeSync, mkdtempSync, openSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {asAgentUser, type AgentUser} from './agent-user.ts'
import {withoutEscapes} from '../../core/text/escapes.ts'

export type QueryOptions = {
  binary: string
  /** The user that OpenCode runs as, if it is another one. */
  user?: AgentUser | undefined
  /** The agent's environment in a directory. */
  env: (directory: string) => NodeJS.ProcessEnv
  /** An existing folder for short-lived files. */
  scratchDir: string
  timeoutMs?: number
}

/**
 * Runs a command of OpenCode in a directory. Resolves with its output, or undefined if it fails or takes too long. The
 * output goes to a file, because OpenCode exits without draining a pipe.
 */
export async function queryOpenCode(
  args: readonly string[],
  directory: string,
  {binary, user, env, scratchDir, timeoutMs = 20_000}: QueryOptions,
): Promise<string | undefined> {
  let folder: string | undefined
  let fd: number | undefined
  try {
    folder = mkdtempSync(join(scratchDir, 'answer-'))
    const file = join(folder, 'answer')
    fd = openSync(file, 'w', 0o600)
    // Node's spawn: a library for this would make the worker a quarter larger.
    const [program, words] = asAgentUser(user, [binary, ...args])
    const child = spawn(program, words, {
      cwd: directory,
      env: env(directory),
      stdio: ['ignore', fd, 'ignore'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    // A wrapper of OpenCode may set the window title or colours.
    return code === 0 ? withoutEscapes(readFileSync(file, 'utf8')).replaceAll('\r', '') : undefined
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
    if (folder) rmSync(folder, {recursive: true, force: true})
  }
}
