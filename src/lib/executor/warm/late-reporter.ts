import {namesIn} from '../../core/paths/read-if-there.ts'
import {loadsReporter, locksOf} from '../launch-agent.ts'
import {currentFingerprint} from './warm-executor.ts'
import {warmUp, type WarmUpOptions} from './warm-up.ts'

const pauseMs = 500

/**
 * Warms an agent up, and once more if only a later one loads our plugin: OpenCode installs a package of its own for that,
 * at its first start on a machine. `isUsed`: tasks are given to an agent without the plugin, too.
 */
export async function warmUpWithReporter(cwd: string, options: WarmUpOptions & {isUsed: () => boolean}): Promise<void> {
  const {way, options: executor, isUsed} = options
  const isEarly = !loadsReporter(way, cwd, executor.launch)
  await warmUp(cwd, options)
  if (!isEarly) return
  const isLoaded = await untilReporterLoads(cwd, options)
  const fingerprint = isLoaded ? currentFingerprint(way, executor, cwd) : ''
  if (isLoaded || !isUsed()) executor.pool.removeUnfit(cwd, fingerprint)
  if (isLoaded) await warmUp(cwd, options)
}

/** OpenCode holds a lock while it installs. Resolves with whether an agent now loads the plugin. */
async function untilReporterLoads(cwd: string, {way, options, limitMs, signal}: WarmUpOptions): Promise<boolean> {
  const {launch} = options
  const {clock} = launch
  const isInstalling = () => namesIn(locksOf(way, launch)?.folder ?? '').some((name) => name.endsWith('.lock'))
  const startedAt = clock.monotonic()
  while (!loadsReporter(way, cwd, launch) || isInstalling()) {
    if (signal.aborted || clock.monotonic() - startedAt > limitMs) return false
    await clock.sleep(pauseMs, signal)
  }
  return true
}
