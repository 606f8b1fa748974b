import {basename, dirname, join} from 'node:path'
import {serviceSocketDir} from '../control/socket-path.ts'
import {ExpectedError} from '../core/errors.ts'
import {findExistingUnit} from './units/existing-unit.ts'
import type {ServiceReport} from './install.ts'
import {agentSysusersFile, agentTmpfilesFile, sysusersFile, tmpfilesFile} from './install-plan.ts'
import {
  agentsDir,
  agentsFile,
  ownAgentUser,
  appDir,
  dropInFile,
  nodeFile,
  serviceUser,
  unitFile,
  type Layout,
} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {pendingSteps, applySteps} from './machine/apply-steps.ts'
import {readConfig} from './units/service-config.ts'
import {describeStep, type Step} from './machine/steps.ts'
import {checkSystemd, systemctl} from './machine/systemd.ts'
import {fileHeader, gitConfigFile} from './units/units.ts'

export type UninstallOptions = {
  machine: Machine
  layout: Layout
  uid: number
  hostname: string
  isDryRun: boolean
  /** Remove configuration, state and user too. */
  purge: boolean
  print: (text: string) => void
}

/**
 * Uninstalls a service: stops it, ends remaining agents, removes its units and, with the last service, the program.
 * Throws ExpectedError: no systemd (78), not root (77), a unit of another program or an unremovable file (73).
 */
export async function uninstallService(options: UninstallOptions): Promise<ServiceReport> {
  const {machine, layout, isDryRun, purge, print} = options
  if (!isDryRun) await checkSystemd(machine, layout, options.uid)
  const existing = findExistingUnit(layout, machine)
  if (existing.kind === 'foreign' || existing.kind === 'python')
    throw notOursError(existing.kind === 'foreign' ? existing.path : existing.unit.path)
  const isLast = otherServices(options).length === 0
  const steps = [
    ...(existing.kind === 'ours' ? stopSteps(options) : []),
    ...(await removeSteps(unitFiles(layout), machine)),
    ...(isLast ? await removeSteps(sharedFiles(layout), machine) : []),
    ...(machine.isLive && existing.kind === 'ours' ? [run(systemctl(layout, 'daemon-reload'))] : []),
    ...(purge ? await purgeSteps(options, isLast) : []),
  ]
  if (!isDryRun && machine.isLive && existing.kind === 'ours')
    print('Stopping the service. Running tasks may finish first.')
  await applySteps(steps, options)
  if (steps.length === 0) print(`${layout.unit} is not installed. Nothing was changed.`)
  const next = purge || steps.length === 0 ? [] : [keptText(layout)]
  for (const line of next) print(line)
  const changes = steps.map((step) => describeStep(step))
  return {unit: `${layout.unit}.service`, changes, warnings: [], next, dry_run: isDryRun}
}

const notOursError = (path: string) =>
  new ExpectedError(`${path} was not written by a2a-worker.`, {
    code: 'FOREIGN_UNIT',
    exit: 'cannotWrite',
    suggestions: ['Nothing was changed. Remove it by hand if it is not needed.'],
  })

const keptText = ({configFile, envFile, stateDir}: Layout) =>
  `Kept ${configFile}, ${envFile} and ${stateDir}. Add --purge to remove them too.`

const run = (command: string[], mayFail?: true): Step => ({kind: 'run', command, ...(mayFail ? {mayFail} : {})})

/** Paths to remove: files and whole folders, and folders (inner ones first) that are removed only if empty. */
type OwnedPaths = {files: string[]; folders: string[]}

async function removeSteps({files, folders}: OwnedPaths, machine: Machine): Promise<Step[]> {
  const removed = new Set(files)
  for (const folder of folders)
    if (machine.list(folder).every((name) => removed.has(join(folder, name)))) removed.add(folder)
  const emptied = folders.filter((folder) => removed.has(folder))
  const steps: Step[] = [
    ...files.map((path) => ({kind: 'remove' as const, path})),
    ...emptied.map((path) => ({kind: 'remove-empty' as const, path})),
  ]
  return pendingSteps(steps, machine)
}

/** Other installed units of a2a-worker. */
const otherServices = ({machine, layout}: UninstallOptions): string[] =>
  machine
    .list(layout.unitDir)
    .filter((name) => name.startsWith('a2a-agent-worker') && name.endsWith('.service'))
    .filter((name) => ![layout.unit, layout.agentsUnit].includes(name.slice(0, -'.service'.length)))
    .filter((name) => machine.read(join(layout.unitDir, name))?.startsWith(fileHeader))

/** Lets the worker drain, then ends remaining agents: through the companion unit, and directly for a failed unit. */
function stopSteps({machine, layout}: UninstallOptions): Step[] {
  if (!machine.isLive) return []
  const unit = `${layout.unit}.service`
  return [
    run(systemctl(layout, 'disable', '--now', unit)),
    run(systemctl(layout, 'stop', `${layout.agentsUnit}.service`), true),
    run(systemctl(layout, 'kill', '--kill-who=all', '--signal=KILL', unit), true),
    run(systemctl(layout, 'reset-failed', unit), true),
  ]
}

const unitFiles = (layout: Layout): OwnedPaths => ({
  files: [unitFile(layout), agentsFile(layout), dropInFile(layout)],
  folders: [dirname(dropInFile(layout))],
})

const sharedFiles = (layout: Layout): OwnedPaths => ({
  files: [
    appDir(layout),
    nodeFile(layout),
    ...(layout.scope === 'system'
      ? [sysusersFile, tmpfilesFile, agentSysusersFile, agentTmpfilesFile, gitConfigFile, serviceSocketDir]
      : []),
  ],
  folders: [dirname(nodeFile(layout)), layout.programDir],
})

/** A name that leads nowhere else: the file may come from a time in which agents could write it. */
const isName = (value: unknown): value is string =>
  typeof value === 'string' && basename(value) === value && !['', '.', '..'].includes(value)

/** Removes the state of this service. The last service of the machine removes all state and the user. */
async function purgeSteps({machine, layout, hostname}: UninstallOptions, isLast: boolean): Promise<Step[]> {
  const {instance, stateDir, tmp, scope, configFile, envFile, configDir} = layout
  const configured = readConfig(machine, configFile)?.content['worker_name']
  const name = instance ?? (isName(configured) ? configured : hostname)
  const isAll = isLast && scope === 'system'
  const ownState = [join(stateDir, 'workers', name), ...(scope === 'system' ? [join(dirname(stateDir), tmp)] : [])]
  const files = [configFile, envFile, ...(isAll ? [stateDir, agentsDir] : ownState)]
  const created = machine.isLive && isAll ? [serviceUser, ownAgentUser] : []
  const users = await Promise.all(created.map(async (user) => ((await machine.lookUp(user)) ? [user] : [])))
  return [
    ...(await removeSteps({files, folders: [configDir]}, machine)),
    ...users.flat().map((user) => run(['userdel', user])),
  ]
}
