import type {ControlPlaneClient} from '../client/control-plane.ts'
import {applyLiveSettings} from '../config/live-settings.ts'
import type {Config} from '../config/settings.ts'
import {authToken} from '../config/token.ts'
import {messageOf} from '../core/errors.ts'
import type {EventBus} from '../events/bus.ts'
import type {RunningWorker} from '../worker/worker-options.ts'

/** The settings as they are given now. Rejects where they are no good. */
export type ReadSettings = () => Promise<{config: Config; warnings: readonly string[]}>

export type ReloadParts = {
  read: ReadSettings
  /** Changed in place. */
  config: Config
  client: ControlPlaneClient
  worker: RunningWorker
  bus: EventBus
  /** Tokens that were in use; undefined where the control plane of this machine has one of its own. */
  tokens: Set<string> | undefined
}

/** Reloads one time after the other, and once more for all that were asked for meanwhile; nothing before `start`. */
export class Reloader {
  #parts: ReloadParts | undefined
  #isRequested = false
  #isRunning = false

  readonly request = (): void => {
    this.#isRequested = true
    void this.#run()
  }

  start(parts: ReloadParts): void {
    this.#parts = parts
    void this.#run()
  }

  async #run(): Promise<void> {
    if (!this.#parts || this.#isRunning) return
    this.#isRunning = true
    while (this.#isRequested) {
      this.#isRequested = false
      await reload(this.#parts)
    }

    this.#isRunning = false
  }
}

/** Reads all settings anew and takes up what may change while the worker runs. */
async function reload(parts: ReloadParts): Promise<void> {
  const fresh = await readAll(parts).catch((error: unknown) => {
    notice(parts, 'error', `The settings were not reloaded, everything stays as it was. ${messageOf(error)}`)
  })
  if (fresh) await apply(fresh, parts)
}

type FreshSettings = Awaited<ReturnType<typeof readAll>>

/** The token, too, before anything is changed: that it cannot be read leaves all as it was. */
async function readAll({read, tokens}: ReloadParts) {
  const {config: fresh, warnings} = await read()
  return {fresh, warnings, token: tokens && authToken(fresh)}
}

async function apply({fresh, warnings, token}: FreshSettings, parts: ReloadParts): Promise<void> {
  const {config, client, worker, bus, tokens} = parts
  for (const warning of warnings) notice(parts, 'warn', warning)
  const {live, atStart} = applyLiveSettings(config, fresh)
  const hasNewToken = tokens !== undefined && client.http.renewToken(token)
  if (token !== undefined) tokens?.add(token)
  const isTokenFileChanged = hasNewToken && !live.includes('auth_token') && !live.includes('auth_token_file')
  const changed = isTokenFileChanged ? [...live, 'the token in auth_token_file'] : live
  const {max_concurrent_tasks: slots, log_level: logLevel} = config
  bus.emit({type: 'settings.reloaded', changed, slots, logLevel})
  if (atStart.length > 0) notice(parts, 'warn', `These settings take effect at the next start: ${atStart.join(', ')}`)
  await worker.takeUp({settings: live, hasNewToken})
}

const notice = ({bus}: ReloadParts, level: 'warn' | 'error', text: string) => bus.emit({type: 'notice', level, text})
