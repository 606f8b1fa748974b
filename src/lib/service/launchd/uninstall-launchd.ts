import {basename, dirname, join} from 'node:path'
import type {ServiceReport} from '../install.ts'
import {applySteps, pendingSteps} from '../machine/apply-steps.ts'
import {appDir, nodeFile} from '../machine/layout.ts'
import type {Machine} from '../machine/machine.ts'
import {describeStep, type Step} from '../machine/steps.ts'
import {checkLaunchd, isLoaded, isOurPlist, refuseForeignPlist} from './launchctl.ts'
import type {LaunchdLayout} from './launchd-layout.ts'

export type LaunchdUninstallOptions = {
  machine: Machine
  layout: LaunchdLayout
  uid: number
  isDryRun: boolean
  /** Remove the configuration too. The state is the user's, and stays. */
  purge: boolean
  print: (text: string) => void
}

/**
 * Uninstalls a service of launchd: stops it, and removes its property list and, with the last service, the program.
 * Throws ExpectedError: no launchd (78), not root (77), a property list of another program or an unremovable file (73).
 */
export async function uninstallWithLaunchd(options: LaunchdUninstallOptions): Promise<ServiceReport> {
  const {machine, layout, isDryRun, purge, print} = options
  const {label, domain, plist, configFile, envFile, stateDir} = layout
  if (!isDryRun) checkLaunchd(machine, layout, options.uid)
  refuseForeignPlist(machine, layout)
  const isRunning = machine.isLive && (await isLoaded(machine, layout))
  const stop: Step[] = isRunning ? [{kind: 'run', command: ['launchctl', 'bootout', `${domain}/${label}`]}] : []
  const isLast = !hasOthers(machine, layout)
  const files = [plist, ...(isLast ? [appDir(layout), nodeFile(layout)] : []), ...(purge ? [configFile, envFile] : [])]
  const folders = isLast ? [dirname(nodeFile(layout)), layout.programDir] : []
  const removal = [
    ...files.map((path): Step => ({kind: 'remove', path})),
    ...folders.map((path): Step => ({kind: 'remove-empty', path})),
  ]
  const steps = [...stop, ...(await pendingSteps(removal, machine))]
  if (isRunning && !isDryRun) print('Stopping the service. Running tasks may finish first.')
  await applySteps(steps, options)
  if (steps.length === 0) print(`${label} is not installed. Nothing was changed.`)
  const kept = purge
    ? `Kept ${stateDir}.`
    : `Kept ${configFile}, ${envFile} and ${stateDir}. --purge removes the first two.`
  const next = steps.length === 0 ? [] : [kept]
  for (const line of next) print(line)
  return {unit: label, changes: steps.map(describeStep), warnings: [], next, dry_run: isDryRun}
}

/** Whether another service of a2a-worker uses the same program. */
const hasOthers = (machine: Machine, {plist}: LaunchdLayout): boolean =>
  machine
    .list(dirname(plist))
    .filter((name) => name.startsWith('local.a2a-worker') && name !== basename(plist))
    .some((name) => isOurPlist(machine.read(join(dirname(plist), name))))
