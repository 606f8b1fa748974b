import type {ControlPlaneClient} from '../client/control-plane.ts'
import type {Environment} from '../config/file.ts'
import type {Config} from '../config/settings.ts'
import type {WorkerStatus} from '../control/messages.ts'
import type {Clock} from '../core/clock.ts'

export type FindingState = 'ok' | 'warning' | 'problem' | 'skipped'

/** What a check has found, in words; and, where something is wrong, what to do about it, best first. */
export type Finding = {check: string; state: FindingState; text: string; fixes: string[]}

export const ok = (check: string, text: string): Finding => ({check, state: 'ok', text, fixes: []})
export const skipped = (check: string, text: string): Finding => ({check, state: 'skipped', text, fixes: []})
export const warning = (check: string, text: string, ...fixes: string[]): Finding => ({
  check,
  state: 'warning',
  text,
  fixes,
})
export const problem = (check: string, text: string, ...fixes: string[]): Finding => ({
  check,
  state: 'problem',
  text,
  fixes,
})

/** What the checks of this machine look at. */
export type MachineContext = {
  config: Config
  stateDir: string
  /** Folder of this program. */
  root: string
  env: Environment
  /** The workers of this user that run now, as they tell over their sockets. */
  local: readonly WorkerStatus[]
  /** The server that was named, or that of this machine; null where there is none. */
  server: string | null
}

/** What the checks of the control plane look at; it has answered. */
export type ControlPlaneContext = MachineContext & {client: ControlPlaneClient; clock: Clock}
