import type {ControlPlaneClient} from '../client/control-plane.ts'
import type {Environment} from '../config/file.ts'
import type {Config} from '../config/settings.ts'
import type {WorkerStatus} from '../control/messages.ts'
import type {Clock} from '../core/clock.ts'
import type {CheckLabel} from './checks.ts'

export type FindingState = 'ok' | 'warning' | 'problem' | 'skipped'

/** What a check found. `fixes` suggests what to do about a problem, the most likely fix first. */
export type Finding = {check: CheckLabel; state: FindingState; text: string; fixes: string[]}

export const ok = (check: CheckLabel, text: string): Finding => ({check, state: 'ok', text, fixes: []})
export const skipped = (check: CheckLabel, text: string): Finding => ({check, state: 'skipped', text, fixes: []})
export const warning = (check: CheckLabel, text: string, ...fixes: string[]): Finding => ({
  check,
  state: 'warning',
  text,
  fixes,
})
export const problem = (check: CheckLabel, text: string, ...fixes: string[]): Finding => ({
  check,
  state: 'problem',
  text,
  fixes,
})

/** Input of the checks of this machine. */
export type MachineContext = {
  config: Config
  stateDir: string
  /** Folder of this program. */
  root: string
  env: Environment
  /** Status of the running workers that this user may query. */
  local: readonly WorkerStatus[]
  /** The configured server, or the local one. Null if there is none. */
  server: string | null
}

/** Input of the checks of the control plane, which has already answered. */
export type ControlPlaneContext = MachineContext & {client: ControlPlaneClient; clock: Clock}
