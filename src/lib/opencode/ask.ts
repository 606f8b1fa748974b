import {closeSync, mkdtempSync, openSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {execa} from 'execa'
import {descriptor} from './descriptor.ts'

export type AskOptions = {
  binary: string
  /** The agent's environment in a directory. */
  env: (directory: string) => NodeJS.ProcessEnv
  /** An existing folder for short-lived files. */
  scratchDir: string
  timeoutMs?: number
}

/**
 * What a command of OpenCode prints in a directory; undefined where there is no answer in time. Into a file: OpenCode
 * exits without draining a pipe.
 */
export async function askOpenCode(
  args: readonly string[],
  directory: string,
  {binary, env, scratchDir, timeoutMs = 20_000}: AskOptions,
): Promise<string | undefined> {
  let folder: string | undefined
  let fd: number | undefined
  try {
    folder = mkdtempSync(join(scratchDir, 'answer-'))
    const file = join(folder, 'answer')
    fd = openSync(file, 'w', 0o600)
    const result = await execa(binary, args, {
      cwd: directory,
      env: {...env(directory)},
      extendEnv: false,
      reject: false,
      buffer: false,
      stdio: ['ignore', descriptor(fd), 'ignore'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    return result.failed ? undefined : readFileSync(file, 'utf8')
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
    if (folder) rmSync(folder, {recursive: true, force: true})
  }
}
