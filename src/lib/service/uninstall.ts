import {dirname, join} from 'node:path'
import {serviceFolder} from '../control/socket-path.ts'
import {ExpectedError} from '../core/errors.ts'
import {existingUnit} from './existing-unit.ts'
import type {ServiceReport} from './install.ts'
import {sysusersFile, tmpfilesFile} from './install-plan.ts'
import {agentsFile, appDir, dropInFile, nodeFile, serviceUser, unitFile, type Layout} from './layout.ts'
import type {Machine} from './machine.ts'
import {pending, perform} from './perform.ts'
import {describe, type Step} from './steps.ts'
import {checkSystemd, systemctl} from './systemd.ts'
import {marker} from './units.ts'

export type UninstallOptions = {
  machine: Machine
  layout: Layout
  uid: number
  isDryRun: boolean
  /** Takes configuration and state too. */
  purge: boolean
  tell: (text: string) => void
}

/**
 * Takes back what an installation put there: stops the service, ends agents that are left, removes units and, with the
 * last service, the program. Throws ExpectedError: no systemd (78), not root (77), somebody else's unit or a file that
 * cannot be removed (73).
 */
export async function uninstallService(options: UninstallOptions): Promise<ServiceReport> {
  const {machine, layout, isDryRun, purge, tell} = options
  if (!isDryRun) await checkSystemd(machine, layout, options.uid)
  const existing = existingUnit(layout, machine)
  if (existing.kind === 'foreign' || existing.kind === 'python')
    throw notOurs(existing.kind === 'foreign' ? existing.path : existing.unit.path)
  const isLast = otherServices(options).length === 0
  const steps = [
    ...(existing.kind === 'ours' ? stopSteps(options) : []),
    ...(await pending([...unitFiles(layout), ...(isLast ? sharedFiles(layout) : [])], machine)),
    ...(machine.isLive && existing.kind === 'ours' ? [run(systemctl(layout, 'daemon-reload'))] : []),
    ...(purge ? await purgeSteps(options, isLast) : []),
  ]
  await perform(steps, options)
  if (steps.length === 0) tell(`${layout.unit} is not installed; nothing was changed.`)
  const next = purge || steps.length === 0 ? [] : [kept(layout)]
  for (const line of next) tell(line)
  const changes = steps.map((step) => describe(step))
  return {unit: `${layout.unit}.service`, changes, warnings: [], next, dry_run: isDryRun}
}

const notOurs = (path: string) =>
  new ExpectedError(`${path} was not written by a2a-worker.`, {
    code: 'FOREIGN_UNIT',
    exit: 'cannotWrite',
    suggestions: ['Nothing was changed. Remove it by hand if it is not needed.'],
  })

const kept = ({configFile, envFile, stateDir}: Layout) =>
  `Kept: ${configFile}, ${envFile} and ${stateDir}; --purge removes them too.`

const run = (command: string[], mayFail?: true): Step => ({kind: 'run', command, ...(mayFail ? {mayFail} : {})})

const remove = (path: string): Step => ({kind: 'remove', path})

const tidy = (path: string): Step => ({kind: 'tidy', path})

/** Units of ours beside this one. */
const otherServices = ({machine, layout}: UninstallOptions): string[] =>
  machine
    .list(layout.unitDir)
    .filter((name) => name.startsWith('a2a-agent-worker') && name.endsWith('.service'))
    .filter((name) => ![layout.unit, layout.agentsUnit].includes(name.slice(0, -'.service'.length)))
    .filter((name) => machine.read(join(layout.unitDir, name))?.startsWith(marker))

/** The worker drains; then its companion ends agents that are left, and the last command those of a unit that had failed. */
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

const unitFiles = (layout: Layout): Step[] => [
  remove(unitFile(layout)),
  remove(agentsFile(layout)),
  remove(dropInFile(layout)),
  tidy(dirname(dropInFile(layout))),
]

const sharedFiles = (layout: Layout): Step[] => [
  remove(appDir(layout)),
  remove(nodeFile(layout)),
  tidy(dirname(nodeFile(layout))),
  tidy(layout.programDir),
  ...(layout.scope === 'system' ? [sysusersFile, tmpfilesFile, serviceFolder].map((path) => remove(path)) : []),
]

/** State is shared by all services; with others there, only what is this one's alone goes. */
async function purgeSteps({machine, layout}: UninstallOptions, isLast: boolean): Promise<Step[]> {
  const {instance, stateDir, tmp, scope} = layout
  const own = instance === undefined ? [] : [join(stateDir, 'workers', instance)]
  const state = isLast ? [stateDir] : [...own, ...(scope === 'system' ? [join(dirname(stateDir), tmp)] : [])]
  const files = [...[layout.configFile, layout.envFile, ...state].map((path) => remove(path)), tidy(layout.configDir)]
  const hasUser = machine.isLive && scope === 'system' && isLast && (await machine.ids('service'))?.uid !== -1
  return [...(await pending(files, machine)), ...(hasUser ? [run(['userdel', serviceUser])] : [])]
}
