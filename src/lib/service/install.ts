import {hostname as machineName} from 'node:os'
import type {Environment} from '../config/file.ts'
import type {Clock} from '../core/clock.ts'
import {grantSteps, warningText} from './grant-access.ts'
import {workProblems} from './installed-services.ts'
import {parseEnvFile} from './units/env-file.ts'
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
  /** The installing user. */
  user: {id: number; name: string}
  env: Environment
  clock: Clock
  isDryRun: boolean
  /** Start the service, or restart a running one to apply changes. */
  start: boolean
  /** Give the user of the service rights on the codebases. */
  grant?: boolean
  hostname?: string
  print: (text: string) => void
}

/** What an installation or removal did: changes made, warnings, and what is left to do. */
export type ServiceReport = {unit: string; changes: string[]; warnings: string[]; next: string[]; dry_run: boolean}

/**
 * Installs the worker as a service, or updates it. Changes only what differs. Throws ExpectedError: no systemd or an
 * invalid configuration (78), not root (77), a unit of another program or an unwritable file (73), a failed command (1).
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
  const grants = options.grant ? await grantSteps(inspection, machine) : []
  await applySteps(grants, options)
  if (steps.length + grants.length === 0) print(`${layout.unit} is up to date. Nothing was changed.`)
  const started = options.start && machine.isLive ? await startService(options, steps.length > 0) : []
  const warnings = [
    ...inspection.warnings,
    ...started,
    ...lingerWarnings(options),
    ...(await workWarnings(inspection, options)),
  ]
  const next = isDryRun ? [] : await nextSteps(inspection, options, steps)
  for (const warning of warnings) print(`Warning: ${warning}.`)
  for (const line of next) print(line)
  return {
    unit: `${layout.unit}.service`,
    changes: [...steps, ...grants].map((step) => describeStep(step)),
    warnings,
    next,
    dry_run: isDryRun,
  }
}

/** A warning for everything that would keep the agents from working. */
async function workWarnings({settings: {config}, envText}: Inspection, options: InstallOptions): Promise<string[]> {
  const {machine, layout, isDryRun, env: person} = options
  if (config.codebases.length === 0 && machine.isLive)
    return ['the service has no codebase yet; add one with --codebase NAME:PATH']
  if (!machine.isLive || layout.scope === 'user' || isDryRun) return []
  return (await workProblems({layout, machine, config, env: parseEnvFile(envText), person})).map(warningText)
}

/** Starts or restarts the service. Resolves with warnings. Throws ExpectedError (1) if it fails. */
async function startService(options: InstallOptions, isChanged: boolean): Promise<string[]> {
  const {machine, layout, isDryRun, print, clock} = options
  const unit = `${layout.unit}.service`
  const {active, invocation} = await unitState(machine, layout)
  const isRunning = active === 'active'
  if (isRunning && !isChanged) return []
  // At SIGQUIT the running worker exits at once and its agents keep running. systemd starts the next worker, which
  // adopts them.
  const command = isRunning
    ? systemctl(layout, 'kill', '--kill-who=main', '--signal=QUIT', unit)
    : systemctl(layout, 'start', '--no-block', unit)
  print(`${isDryRun ? 'would run' : 'ran'} ${command.join(' ')}`)
  if (isDryRun) return []
  await machine.run(systemctl(layout, 'reset-failed', unit))
  await machine.mustRun(command)
  const waiting = await waitUntilActive(machine, layout, {before: isRunning ? invocation : '', clock})
  if (waiting !== undefined) return [`the service is not ready yet: ${waiting}`]
  print(`${layout.unit} runs.`)
  return []
}

function lingerWarnings({machine, layout, user}: InstallOptions): string[] {
  if (layout.scope === 'system' || !machine.isLive || machine.exists(`/var/lib/systemd/linger/${user.name}`)) return []
  return [`the service ends when you log out, unless you run: loginctl enable-linger ${user.name}`]
}

/** Hints about what is left to do, and how to undo a migration. */
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

const packageHint =
  'On the target machine, run systemd-sysusers to create the user and systemd-tmpfiles to set the owner of the configuration.'

const logHint = ({scope, unit}: Layout) =>
  `See what it does: journalctl ${scope === 'user' ? '--user ' : ''}-u ${unit} -f`

/** The commands that restore the Python worker. */
function rollbackCommand(layout: Layout, steps: readonly Step[]): string {
  const name = layout.instance === undefined ? '' : ` --name ${layout.instance}`
  const commands = [
    `a2a-worker uninstall-service${name}`,
    ...steps.flatMap((step) => (step.kind === 'move' ? [`mv ${step.to} ${step.from}`] : [])),
    systemctl(layout, 'daemon-reload').join(' '),
    systemctl(layout, 'enable', '--now', layout.unit).join(' '),
  ]
  return `To restore it: ${commands.join(' && ')}`
}

const restartHint = (layout: Layout) =>
  `The running service still uses the old version. To apply the change while its agents keep running: ${systemctl(layout, 'kill', '--kill-who=main', '--signal=QUIT', layout.unit).join(' ')}`
