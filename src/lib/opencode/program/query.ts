import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {closeSync, mkdtempSync, openSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {withoutEscapes} from '../../core/escapes.ts'

export type QueryOptions = {
  binary: string
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
  {binary, env, scratchDir, timeoutMs = 20_000}: QueryOptions,
): Promise<string | undefined> {
  let folder: string | undefined
  let fd: number | undefined
  try {
    folder = mkdtempSync(join(scratchDir, 'answer-'))
    const file = join(folder, 'answer')
    fd = openSync(file, 'w', 0o600)
    // Node's spawn: a library for this would make the worker a quarter larger.
    const child = spawn(binary, args, {
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
