import {join} from 'node:path'
import {parseEnvFile} from './units/env-file.ts'
import {machineDropIn} from './units/drop-in.ts'
import type {ExistingUnit} from './units/existing-unit.ts'
import type {Inspection} from './inspect-machine.ts'
import {agentSysusers, agentTmpfiles} from './units/agent-account.ts'
import type {Config} from '../config/settings.ts'
import {
  agentsFile,
  appDir,
  dropInFile,
  nodeFile,
  ownAgentUser,
  serviceUser,
  unitFile,
  type Layout,
} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {pendingSteps} from './machine/apply-steps.ts'
import type {Program} from './machine/program.ts'
import type {Step} from './machine/steps.ts'
import {isEnabled, systemctl} from './machine/systemd.ts'
import {agentsUnit, gitConfig, gitConfigFile, sysusers, tmpfiles, workerUnit} from './units/units.ts'

export const sysusersFile = '/etc/sysusers.d/a2a-worker.conf'
export const tmpfilesFile = '/etc/tmpfiles.d/a2a-worker.conf'
/** The same for agents with a user of their own. */
export const agentSysusersFile = '/etc/sysusers.d/a2a-worker-agents.conf'
export const agentTmpfilesFile = '/etc/tmpfiles.d/a2a-worker-agents.conf'

export type PlanOptions = {machine: Machine; layout: Layout; program: Program}

/**
 * The steps of an installation. Their order keeps the present service intact for as long as possible if a step fails:
 * user, program and a check of the units by systemd come before configuration and units.
 */
export async function planInstall(inspection: Inspection, options: PlanOptions): Promise<Step[]> {
  const {machine, layout} = options
  const units = unitSteps(inspection, layout)
  const pendingUnits = await pendingSteps(units, machine)
  const moveSteps = moveAsideSteps(inspection.existing, options)
  const isChanged = pendingUnits.length > 0 || moveSteps.length > 0
  const live = (...steps: Step[]) => (machine.isLive ? steps : [])
  return [
    ...(await userSteps(layout, machine)),
    ...(await agentUserSteps(inspection.settings.config, machine)),
    ...(await pendingSteps(programSteps(options), machine)),
    ...live(...(isChanged ? [verifyStep(units, layout)] : [])),
    ...moveSteps,
    ...(await pendingSteps(configSteps(inspection, layout), machine)),
    ...pendingUnits,
    ...live(...(isChanged ? [run(systemctl(layout, 'daemon-reload'))] : [])),
    ...live(
      ...((await isInstalledAndEnabled(inspection, options))
        ? []
        : [run(systemctl(layout, 'enable', `${layout.unit}.service`))]),
    ),
  ]
}

const run = (command: string[]): Step => ({kind: 'run', command})

const isInstalledAndEnabled = async ({existing}: Inspection, {machine, layout}: PlanOptions) =>
  machine.isLive && existing.kind === 'ours' && (await isEnabled(machine, layout))

async function userSteps({scope}: Layout, machine: Machine): Promise<Step[]> {
  if (scope === 'user') return []
  const file = await pendingSteps([publicFile(sysusersFile, sysusers)], machine)
  const isThere = !machine.isLive || (await machine.run(['id', '-u', serviceUser])).code === 0
  return [...file, ...(isThere ? [] : [run(['systemd-sysusers', sysusersFile])])]
}

/** The user of the agents, the worker's membership in its group, and the folders of the agents. */
async function agentUserSteps({agent_user: user}: Pick<Config, 'agent_user'>, machine: Machine): Promise<Step[]> {
  if (user === undefined) return []
  const group = user === ownAgentUser || !machine.isLive ? user : await machine.mustRun(['id', '-gn', user])
  const files = [
    publicFile(agentSysusersFile, agentSysusers(user, group)),
    publicFile(agentTmpfilesFile, agentTmpfiles(user)),
  ]
  const pending = await pendingSteps(files, machine)
  if (pending.length === 0 || !machine.isLive) return pending
  return [
    ...pending,
    run(['systemd-sysusers', agentSysusersFile]),
    run(['systemd-tmpfiles', '--create', agentTmpfilesFile]),
  ]
}

/** The folder belongs to root before files are copied, because an earlier installation may have given it to the service. */
function programSteps({layout, program}: PlanOptions): Step[] {
  const owner = layout.scope === 'system' ? 'root' : 'self'
  return [
    {kind: 'folder', path: layout.programDir, mode: 0o755, owner},
    {kind: 'folder', path: join(layout.programDir, 'bin'), mode: 0o755, owner},
    {kind: 'program', program, place: {app: appDir(layout), node: nodeFile(layout)}},
  ]
}

function configSteps({configText: text, envText}: Inspection, layout: Layout): Step[] {
  const {scope, configDir, configFile, envFile} = layout
  const isSystem = scope === 'system'
  return [
    {kind: 'folder', path: configDir, mode: isSystem ? 0o755 : 0o700, owner: isSystem ? 'root' : 'self'},
    // Agents have the user of the service, so they must not write what root reads here at the next installation.
    {kind: 'file', path: configFile, text, mode: isSystem ? 0o640 : 0o600, owner: isSystem ? 'shared' : 'self'},
    {kind: 'file', path: envFile, text: envText, mode: 0o600, owner: isSystem ? 'root' : 'self'},
    ...(isSystem ? [publicFile(gitConfigFile, gitConfig), publicFile(tmpfilesFile, tmpfiles)] : []),
  ]
}

type FileStep = Extract<Step, {kind: 'file'}>

const publicFile = (path: string, text: string): FileStep => ({kind: 'file', path, text, mode: 0o644, owner: 'root'})

function unitSteps({server, settings, envText, openCode, git}: Inspection, layout: Layout): FileStep[] {
  const file = (path: string, text: string): FileStep => ({
    kind: 'file',
    path,
    text,
    mode: 0o644,
    owner: layout.scope === 'system' ? 'root' : 'self',
  })
  const env = parseEnvFile(envText)
  return [
    file(agentsFile(layout), agentsUnit(layout)),
    file(unitFile(layout), workerUnit(layout)),
    file(dropInFile(layout), machineDropIn({layout, server, config: settings.config, env, openCode, git})),
  ]
}

const verifyStep = (files: FileStep[], {scope}: Layout): Step => ({kind: 'verify', files, scope})

/** Stops the Python worker's service and renames its unit and drop-ins. */
function moveAsideSteps(existing: ExistingUnit, {machine, layout}: PlanOptions): Step[] {
  if (existing.kind !== 'python') return []
  const stop = run(systemctl(layout, 'stop', `${layout.unit}.service`))
  const files = [existing.unit, ...existing.dropIns]
  return [
    ...(machine.isLive ? [stop] : []),
    ...files.map(({path}): Step => ({kind: 'move', from: path, to: backupPath(path, machine)})),
  ]
}

/** A free backup name that systemd does not read. */
export function backupPath(path: string, machine: Machine): string {
  for (let count = 1; ; count++) {
    const backup = count === 1 ? `${path}.python` : `${path}.python.${count}`
    if (!machine.exists(backup)) return backup
  }
}
