import type {Config, SettingKey} from '../config/settings.ts'
import type {RunningWorker} from './worker-options.ts'

/** What has changed while the worker runs. */
export type Reloaded = {
  settings: readonly SettingKey[]
  /** The client has another token than before. */
  hasNewToken: boolean
}

type Parts = Pick<RunningWorker, 'codebases' | 'registration' | 'intake' | 'runner' | 'disk' | 'kept'> & {
  config: Config
  /** Aborted when nothing may go on. */
  signal: AbortSignal
  /** Blanks out what is to be blanked out now. */
  renewRedaction: () => void
}

/**
 * Does what follows from changed settings at once. The rest reads the configuration when it needs it: a run when it is
 * prepared, a drain when it begins.
 */
export async function takeUp({settings, hasNewToken}: Reloaded, parts: Parts): Promise<void> {
  const {config, registration, intake, runner, disk, kept, signal} = parts
  const has = (...keys: SettingKey[]) => settings.some((key) => keys.includes(key))
  if (has('redact', 'env_allow') || hasNewToken) parts.renewRedaction()
  if (has('keep_runs_days', 'keep_runs_mb')) void kept.prune(signal).catch(() => {})
  if (has('min_free_disk')) await disk.look().catch(() => {})
  if (has('poll_interval')) intake.pollSoon()
  if (has('codebases')) await registration.configure(config.codebases)
  if (hasNewToken) intake.reconnect('the token is another one')
  if (!hasNewToken && !has('codebases', 'max_concurrent_tasks')) return
  await registration.registerAnew(signal)
  await registration.sayNow(signal) // how many slots are free is not part of a registration
  runner.lookForMore()
}
