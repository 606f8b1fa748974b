import type {Clock} from '../../core/clock.ts'
import {ExpectedError, configError} from '../../core/errors.ts'
import type {Layout} from './layout.ts'
import type {Machine} from './machine.ts'

/** A systemctl command for the systemd of the machine or of the user. */
export const systemctl = ({scope}: Pick<Layout, 'scope'>, ...args: string[]): string[] => [
  'systemctl',
  ...(scope === 'user' ? ['--user'] : []),
  ...args,
]

/**
 * Checks that this user can install a service here. Throws ExpectedError: no systemd (78), not root (77).
 */
export async function checkSystemd(machine: Machine, {scope}: Layout, uid: number): Promise<void> {
  if (!machine.isLive) return
  if (!machine.exists('/run/systemd/system'))
    throw configError(
      'systemd does not run on this machine.',
      'Let the init system of this machine run `a2a-worker start`, or only write the files with --root DIR.',
    )
  if (scope === 'system' && uid !== 0)
    throw new ExpectedError('Only root can install or remove a service of the machine.', {
      code: 'NOT_ROOT',
      exit: 'refused',
      suggestions: ['Run this with sudo, or give --user for a service of your own user.'],
    })
  if (scope === 'user' && (await machine.run(systemctl({scope}, 'show', '--property=Version'))).code !== 0)
    throw configError(
      'The systemd of this user does not run.',
      'Log in on a terminal or by ssh (not with su), or run: sudo loginctl enable-linger $USER',
    )
}

export const isEnabled = async (machine: Machine, layout: Layout): Promise<boolean> =>
  (await machine.run(systemctl(layout, 'is-enabled', `${layout.unit}.service`))).stdout.trim() === 'enabled'

type UnitState = {active: string; sub: string; invocation: string; status: string; result: string}

/** The current state of the worker's unit, from `systemctl show`. Unknown values are empty. */
export async function unitState(machine: Machine, layout: Layout): Promise<UnitState> {
  const properties = 'ActiveState,SubState,InvocationID,StatusText,Result'
  const {stdout} = await machine.run(systemctl(layout, 'show', `--property=${properties}`, `${layout.unit}.service`))
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? ''
  return {
    active: value('ActiveState'),
    sub: value('SubState'),
    invocation: value('InvocationID'),
    status: value('StatusText'),
    result: value('Result'),
  }
}

/** Limit of the wait for a start. A longer start waits for its server, and continues without this command. */
const startTimeoutMs = 60_000

/**
 * Waits until the unit is active with another invocation id than `before`. Resolves with undefined, or after a minute
 * with the status of the unit. Throws ExpectedError (1) if the start fails.
 */
export async function waitUntilActive(
  machine: Machine,
  layout: Layout,
  {before, clock}: {before: string; clock: Clock},
): Promise<string | undefined> {
  const deadline = clock.monotonic() + startTimeoutMs
  for (;;) {
    // The job is only queued, so an immediate check would still see the old state.
    await clock.sleep(200)
    const state = await unitState(machine, layout)
    if (state.active === 'active' && state.invocation !== before) return undefined
    const hasFailed = state.active === 'failed' || (state.sub === 'auto-restart' && state.result !== 'success')
    if (hasFailed)
      throw new ExpectedError(`${layout.unit} did not start (${state.result}).`, {
        code: 'SERVICE_START',
        exit: 'failed',
        suggestions: [`See why: journalctl ${layout.scope === 'user' ? '--user ' : ''}-u ${layout.unit} -n 50`],
      })
    if (clock.monotonic() > deadline) return state.status || `${state.active} (${state.sub})`
  }
}
