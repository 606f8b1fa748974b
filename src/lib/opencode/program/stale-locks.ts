import {rmSync, statSync} from 'node:fs'
import {homedir, hostname} from 'node:os'
import {join} from 'node:path'
import * as v from 'valibot'
import {isRunning} from '../../core/is-running.ts'
import {parseJson} from '../../protocol/parse.ts'
import {namesIn, readIfThere} from '../../core/paths/read-if-there.ts'
import {askAsUser, type AgentUser} from './agent-user.ts'

const metaSchema = v.object({pid: v.pipe(v.number(), v.integer(), v.minValue(1)), hostname: v.string()})

/** OpenCode's folder of locks between its processes (XDG base directories). */
export const lockFolder = (env: Readonly<Record<string, string | undefined>>): string =>
  join(env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local/state'), 'opencode/locks')

/** OpenCode's folder of locks. `user`: the one whose it is, if that is another than the user of this process. */
export type LockPlace = {folder: string; user?: AgentUser | undefined}

/** The same for another user, whose folder this process cannot read. A lock without an owner is left to OpenCode. */
const script = `cd -- "$0" || exit 0
for lock in *.lock; do
  grep -qF '"hostname":"'"$1"'"' "$lock/meta.json" || continue
  pid=$(sed -n 's/.*"pid":\\([0-9][0-9]*\\).*/\\1/p' "$lock/meta.json")
  [ -z "$pid" ] || kill -0 "$pid" || rm -rf -- "$lock"
done`

/** OpenCode names the owner of a lock at once after it made the lock, which is a folder. */
const unnamedMs = 15_000

/**
 * Removes OpenCode's locks whose process has ended. OpenCode often exits while it still installs its own package in the
 * background. The next start that needs the package would wait a minute for that lock.
 */
export function removeStaleLocks({folder, user}: LockPlace): void {
  if (user) return void askAsUser(user, ['/bin/sh', '-c', script, folder, hostname()])
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
