import {hostname as machineName} from 'node:os'
import type {Environment} from '../config/file.ts'
import type {Clock} from '../core/clock.ts'
import {checkCodebases} from './check-codebases.ts'
import {inspectMachine, type Inspection, type InstallRequest} from './inspect-machine.ts'
import {planInstall} from './install-plan.ts'
import type {Layout} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {applySteps} from './machine/apply-steps.ts'
import type {Program} from './machine/program.ts'
import {describeStep, type Step} from './machine/steps.ts'
import {checkSystemd, systemctl, unitState, waitUntilActive} from './machine/systemd.ts'

export type InstallOptions = {
  machine: Machine
  layout: Layout
  request: InstallRequest
  program: Program
  /** Of who installs. */
  user: {id: number; name: string}
  env: Environment
  clock: Clock
  isDryRun: boolean
  /** Starts the service, or has a running one take over what has changed. */
  start: boolean
  hostname?: string
  print: (text: string) => void
}

export type ServiceReport = {unit: string; changes: string[]; warnings: string[]; next: string[]; dry_run: boolean}

/**
 * Installs the worker as a service, or brings an installed one up to date; what is so already is not touched. Throws
 * ExpectedError: no systemd or a bad configuration (78), not root (77), somebody else's unit or a file that cannot be
 * written (73), a command that failed (1).
 */
export async function installService(options: InstallOptions): Promise<ServiceReport> {
  const {machine, layout, program, isDryRun, print} = options
  if (!isDryRun) await checkSystemd(machine, layout, options.user.id)
  const inspection = inspectMachine({
    ...options,
    programRoot: program.root,
    hostname: options.hostname ?? machineName(),
  })
  const steps = await planInstall(inspection, options)
  await applySteps(steps, options)
  if (steps.length === 0) print(`${layout.unit} is installed as it should be; nothing was changed.`)
  const started = options.start && machine.isLive ? await startService(options, steps.length > 0) : []
  const warnings = [
    ...inspection.warnings,
    ...started,
    ...lingerWarnings(options),
    ...(await checkCodebases(inspection, options)),
  ]
  const next = isDryRun ? [] : await nextSteps(inspection, options, steps)
  for (const warning of warnings) print(`Warning: ${warning}.`)
  for (const line of next) print(line)
  return {
    unit: `${layout.unit}.service`,
    changes: steps.map((step) => describeStep(step)),
    warnings,
    next,
    dry_run: isDryRun,
  }
}

/** Resolves with what is to be said about it. */
async function startService(options: InstallOptions, isChanged: boolean): Promise<string[]> {
  const {machine, layout, isDryRun, print, clock} = options
  const unit = `${layout.unit}.service`
  const {active, invocation} = await unitState(machine, layout)
  const isRunning = active === 'active'
  if (isRunning && !isChanged) return []
  // A running worker leaves at once and its agents go on; systemd starts the next one, which finds them.
  const command = isRunning
    ? systemctl(layout, 'kill', '--kill-who=main', '--signal=QUIT', unit)
    : systemctl(layout, 'start', '--no-block', unit)
  print(`${isDryRun ? 'would run' : 'ran'} ${command.join(' ')}`)
  if (isDryRun) return []
  await machine.run(systemctl(layout, 'reset-failed', unit))
  await machine.mustRun(command)
  const waiting = await waitUntilActive(machine, layout, {before: isRunning ? invocation : '', clock})
  if (waiting !== undefined) return [`it is not ready yet: ${waiting}`]
  print(`${layout.unit} runs.`)
  return []
}

function lingerWarnings({machine, layout, user}: InstallOptions): string[] {
  if (layout.scope === 'system' || !machine.isLive || machine.exists(`/var/lib/systemd/linger/${user.name}`)) return []
  return [`it ends when you log out, unless you run: loginctl enable-linger ${user.name}`]
}

/** What is left to do, and the way back from it. */
async function nextSteps({existing}: Inspection, options: InstallOptions, steps: Step[]): Promise<string[]> {
  const {machine, layout} = options
  const back =
    existing.kind === 'python' ? [`The Python worker's unit was replaced. ${rollbackCommand(layout, steps)}`] : []
  if (steps.length === 0) return back
  if (machine.isLive) return [...back, ...(await startHints(options)), logHint(layout)]
  return layout.scope === 'user' ? back : [...back, packageHint]
}

async function startHints({machine, layout, start}: InstallOptions): Promise<string[]> {
  if (start) return []
  const isRunning = (await unitState(machine, layout)).active === 'active'
  return [isRunning ? restartHint(layout) : `Start it: ${systemctl(layout, 'start', layout.unit).join(' ')}`]
}

const packageHint = 'On the machine, systemd-sysusers makes its user and systemd-tmpfiles gives it its configuration.'

const logHint = ({scope, unit}: Layout) =>
  `See what it does: journalctl ${scope === 'user' ? '--user ' : ''}-u ${unit} -f`

/** What to type to have the Python worker again. */
function rollbackCommand(layout: Layout, steps: readonly Step[]): string {
  const name = layout.instance === undefined ? '' : ` --name ${layout.instance}`
  const commands = [
    `a2a-worker uninstall-service${name}`,
    ...steps.flatMap((step) => (step.kind === 'move' ? [`mv ${step.to} ${step.from}`] : [])),
    systemctl(layout, 'daemon-reload').join(' '),
    systemctl(layout, 'enable', '--now', layout.unit).join(' '),
  ]
  return `The way back: ${commands.join(' && ')}`
}

const restartHint = (layout: Layout) =>
  `It runs as it was before. Have it take over the change, its agents going on: ${systemctl(layout, 'kill', '--kill-who=main', '--signal=QUIT', layout.unit).join(' ')}`
