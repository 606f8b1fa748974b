import type {Config, SettingKey} from '../config/settings.ts'
import type {ReloadedSettings, WorkerComponents} from './running-worker.ts'

type ReloadTargets = Pick<
  WorkerComponents,
  'codebases' | 'registration' | 'intake' | 'runner' | 'disk' | 'retention' | 'providers'
> & {
  config: Config
  /** Aborted when the worker gives up. */
  signal: AbortSignal
  /** Replaces the redactor by one for the current secrets and patterns. */
  renewRedaction: () => void
}

/**
 * Applies changed settings that need an action now. Everything else reads the configuration when it needs it: a run when
 * it is prepared, a drain when it begins.
 */
export async function applyReload({settings, hasNewToken}: ReloadedSettings, targets: ReloadTargets): Promise<void> {
  const {config, registration, intake, runner, disk, retention, providers, signal} = targets
  providers.reset() // a person may have mended a login or a quota
  const has = (...keys: SettingKey[]) => settings.some((key) => keys.includes(key))
  if (has('redact', 'env_allow') || hasNewToken) targets.renewRedaction()
  if (has('keep_runs_days', 'keep_runs_mb')) void retention.prune(signal).catch(() => {})
  if (has('min_free_disk')) await disk.check().catch(() => {})
  if (has('poll_interval')) intake.pollSoon()
  if (has('codebases')) await registration.configureCodebases(config.codebases)
  if (hasNewToken) intake.reconnect('the token is another one')
  if (!hasNewToken && !has('codebases', 'max_concurrent_tasks')) return
  await registration.registerNow(signal)
  await registration.heartbeatNow(signal) // a registration does not contain the free slots
  runner.fillSlots()
}
