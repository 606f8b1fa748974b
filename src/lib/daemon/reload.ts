import type {ControlPlaneClient} from '../client/control-plane.ts'
import {applyLiveSettings} from '../config/live-settings.ts'
import type {Config} from '../config/settings.ts'
import {authToken} from '../config/token.ts'
import {messageOf} from '../core/errors.ts'
import type {EventBus} from '../events/bus.ts'
import {checkTrustedKeys} from '../signing/key-files.ts'
import type {RunningWorker} from '../worker/running-worker.ts'

/** Resolves the current settings. Rejects if they are invalid. */
export type ReadSettings = () => Promise<{config: Config; warnings: readonly string[]}>

export type ReloadContext = {
  read: ReadSettings
  /** Live settings are changed in this object. */
  config: Config
  client: ControlPlaneClient
  worker: RunningWorker
  bus: EventBus
  /** All tokens used so far. Undefined for the local control plane, which has its own token. */
  tokens: Set<string> | undefined
}

/**
 * Runs reloads one after the other. Requests during a reload are combined into one more reload. Requests before `start`
 * wait for it.
 */
export class Reloader {
  #context: ReloadContext | undefined
  #isRequested = false
  #isRunning = false

  readonly request = (): void => {
    this.#isRequested = true
    void this.#run()
  }

  start(context: ReloadContext): void {
    this.#context = context
    void this.#run()
  }

  async #run(): Promise<void> {
    if (!this.#context || this.#isRunning) return
    this.#isRunning = true
    while (this.#isRequested) {
      this.#isRequested = false
      await reload(this.#context)
    }

    this.#isRunning = false
  }
}

/** Reads all settings again and applies the live ones. */
async function reload(context: ReloadContext): Promise<void> {
  const fresh = await readAll(context).catch((error: unknown) => {
    notice(context, 'error', `The reload failed, and all settings stay as they were. ${messageOf(error)}`)
  })
  if (fresh) await apply(fresh, context)
}

type FreshSettings = Awaited<ReturnType<typeof readAll>>

/** Reads settings and token before anything is changed, so that a failed reload changes nothing. */
async function readAll({read, tokens}: ReloadContext) {
  const {config: fresh, warnings} = await read()
  checkTrustedKeys(fresh)
  return {fresh, warnings, token: tokens && authToken(fresh)}
}

async function apply({fresh, warnings, token}: FreshSettings, context: ReloadContext): Promise<void> {
  const {config, client, worker, bus, tokens} = context
  for (const warning of warnings) notice(context, 'warn', warning)
  const {live, atStart} = applyLiveSettings(config, fresh)
  const hasNewToken = tokens !== undefined && client.http.renewToken(token)
  if (token !== undefined) tokens?.add(token)
  const isTokenFileChanged = hasNewToken && !live.includes('auth_token') && !live.includes('auth_token_file')
  const changed = isTokenFileChanged ? [...live, 'the token in auth_token_file'] : live
  const {max_concurrent_tasks: slots, log_level: logLevel} = config
  bus.emit({type: 'settings.reloaded', changed, slots, logLevel})
  if (atStart.length > 0) notice(context, 'warn', `These settings need a restart: ${atStart.join(', ')}`)
  await worker.applyReload({settings: live, hasNewToken})
}

const notice = ({bus}: ReloadContext, level: 'warn' | 'error', text: string) => bus.emit({type: 'notice', level, text})
