import {rmSync} from 'node:fs'
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

/**
 * Removes OpenCode's locks whose process has ended. OpenCode often exits while it still installs its own package in the
 * background. The next start that needs the package would wait a minute for that lock.
 */
export function removeStaleLocks(folder: string): void {
  for (const name of namesIn(folder).filter((each) => each.endsWith('.lock'))) {
    const path = join(folder, name)
    const meta = v.safeParse(metaSchema, parseJson(readIfThere(join(path, 'meta.json')) ?? ''))
    // A lock of another machine, on a shared home, is left alone.
    if (!meta.success || meta.output.hostname !== hostname() || isRunning(meta.output.pid)) continue
    try {
      rmSync(path, {recursive: true, force: true})
    } catch {
      // It belongs to another user, such as that of the agents. OpenCode waits for it.
    }
  }
}
