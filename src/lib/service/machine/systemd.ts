import type {Clock} from '../../core/clock.ts'
import {ExpectedError, configError} from '../../core/errors.ts'
import type {Layout} from './layout.ts'
import type {Machine} from './machine.ts'

/** A command to the systemd of the machine, or of the user. */
export const systemctl = ({scope}: Pick<Layout, 'scope'>, ...args: string[]): string[] => [
  'systemctl',
  ...(scope === 'user' ? ['--user'] : []),
  ...args,
]

/**
 * Looks whether this user can install a service here. Throws ExpectedError: no systemd (78), not root (77).
 */
export async function checkSystemd(machine: Machine, {scope}: Layout, uid: number): Promise<void> {
  if (!machine.isLive) return
  if (!machine.exists('/run/systemd/system'))
    throw configError(
      'systemd does not run on this machine.',
      'Have `a2a-worker start` started by what starts programs here, or write the files only with --root DIR.',
    )
  if (scope === 'system' && uid !== 0)
    throw new ExpectedError('A service of the machine is for root to install and to remove.', {
      code: 'NOT_ROOT',
      exit: 'refused',
      suggestions: ['Run it with sudo, or give --user for a service of your own.'],
    })
  if (scope === 'user' && (await machine.run(systemctl({scope}, 'show', '--property=Version'))).code !== 0)
    throw configError(
      'No systemd of this user runs.',
      'Log in on a terminal or by ssh (not by su), or run: sudo loginctl enable-linger $USER',
    )
}

export const isEnabled = async (machine: Machine, layout: Layout): Promise<boolean> =>
  (await machine.run(systemctl(layout, 'is-enabled', `${layout.unit}.service`))).stdout.trim() === 'enabled'

type UnitState = {active: string; sub: string; invocation: string; status: string; result: string}

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

/** How long a start is waited for; one that takes longer waits for its server, and goes on without us. */
const startTimeoutMs = 60_000

/**
 * Waits until the unit is active, and not as it was `before`. Resolves with what it waits for, if it takes long. Throws
 * ExpectedError (1) when it fails.
 */
export async function waitUntilActive(
  machine: Machine,
  layout: Layout,
  {before, clock}: {before: string; clock: Clock},
): Promise<string | undefined> {
  const deadline = clock.monotonic() + startTimeoutMs
  for (;;) {
    // The job has only been queued: a look at once would see what was before it.
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
