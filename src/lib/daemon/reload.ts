import type {ControlPlaneClient} from '../client/control-plane.ts'
import {applyLive} from '../config/live.ts'
import type {Config} from '../config/settings.ts'
import {authToken} from '../config/token.ts'
import {messageOf} from '../core/errors.ts'
import type {EventBus} from '../events/bus.ts'
import type {RunningWorker} from '../worker/running-worker.ts'

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
export class Reloads {
  #parts: ReloadParts | undefined
  #isAsked = false
  #isUnderWay = false

  readonly ask = (): void => {
    this.#isAsked = true
    void this.#run()
  }

  start(parts: ReloadParts): void {
    this.#parts = parts
    void this.#run()
  }

  async #run(): Promise<void> {
    if (!this.#parts || this.#isUnderWay) return
    this.#isUnderWay = true
    while (this.#isAsked) {
      this.#isAsked = false
      await reload(this.#parts)
    }

    this.#isUnderWay = false
  }
}

/** Reads all settings anew and takes up what may change while the worker runs. */
async function reload(parts: ReloadParts): Promise<void> {
  const fresh = await readAll(parts).catch((error: unknown) => {
    notice(parts, 'error', `The settings were not reloaded, everything stays as it was. ${messageOf(error)}`)
  })
  if (fresh) await change(fresh, parts)
}

type Fresh = Awaited<ReturnType<typeof readAll>>

/** The token, too, before anything is changed: that it cannot be read leaves all as it was. */
async function readAll({read, tokens}: ReloadParts) {
  const {config: fresh, warnings} = await read()
  return {fresh, warnings, token: tokens && authToken(fresh)}
}

async function change({fresh, warnings, token}: Fresh, parts: ReloadParts): Promise<void> {
  const {config, client, worker, bus, tokens} = parts
  for (const warning of warnings) notice(parts, 'warn', warning)
  const {live, atStart} = applyLive(config, fresh)
  const hasNewToken = tokens !== undefined && client.http.renewToken(token)
  if (token !== undefined) tokens?.add(token)
  const isOfFile = hasNewToken && !live.includes('auth_token') && !live.includes('auth_token_file')
  const changed = isOfFile ? [...live, 'the token in auth_token_file'] : live
  const {max_concurrent_tasks: slots, log_level: logLevel} = config
  bus.emit({type: 'settings.reloaded', changed, slots, logLevel})
  if (atStart.length > 0) notice(parts, 'warn', `These settings take effect at the next start: ${atStart.join(', ')}`)
  await worker.applyReload({settings: live, hasNewToken})
}

const notice = ({bus}: ReloadParts, level: 'warn' | 'error', text: string) => bus.emit({type: 'notice', level, text})
