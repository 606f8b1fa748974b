import {rmSync, statSync} from 'node:fs'
import {homedir, hostname} from 'node:os'
import {join} from 'node:path'
import * as v from 'valibot'
import {isRunning} from '../../core/is-running.ts'
import {parseJson} from '../../protocol/parse.ts'
import {namesIn, readIfThere} from '../../core/paths/read-if-there.ts'

const metaSchema = v.object({pid: v.pipe(v.number(), v.integer(), v.minValue(1)), hostname: v.string()})

/** OpenCode's folder of locks between its processes (XDG base directories). */
export const lockFolder = (env: Readonly<Record<string, string | undefined>>): string =>
  join(env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local/state'), 'opencode/locks')

/** OpenCode names the owner of a lock at once after it made the lock, which is a folder. */
const unnamedMs = 15_000

/**
 * Removes OpenCode's locks whose process has ended. OpenCode often exits while it still installs its own package in the
 * background. The next start that needs the package would wait a minute for that lock.
 */
export function removeStaleLocks(folder: string): void {
  for (const name of namesIn(folder).filter((each) => each.endsWith('.lock'))) {
    const path = join(folder, name)
    if (!isStale(path)) continue
    try {
      rmSync(path, {recursive: true, force: true})
    } catch {
      // It belongs to another user, such as that of the agents. OpenCode waits for it.
    }
  }
}

function isStale(lock: string): boolean {
  const text = readIfThere(join(lock, 'meta.json'))
  if (text === undefined || text === '') return ageMs(lock) > unnamedMs
  const meta = v.safeParse(metaSchema, parseJson(text))
  // A lock of another machine, on a shared home, is left alone.
  return meta.success && meta.output.hostname === hostname() && !isRunning(meta.output.pid)
}

function ageMs(path: string): number {
  const stats = statSync(path, {throwIfNoEntry: false})
  return stats ? Date.now() - stats.mtimeMs : 0
}
