import {dirname, join} from 'node:path'
import type {Environment} from '../../config/file.ts'
import {refusePlainHttp} from '../../config/plain-http.ts'
import {configError} from '../../core/errors.ts'
import {findOpenCode} from '../find-opencode.ts'
import type {InstallRequest} from '../inspect-machine.ts'
import type {ServiceReport} from '../install.ts'
import {applySteps, pendingSteps} from '../machine/apply-steps.ts'
import {appDir, nodeFile} from '../machine/layout.ts'
import type {Machine} from '../machine/machine.ts'
import type {Program} from '../machine/program.ts'
import {describeStep, type Step} from '../machine/steps.ts'
import {appendLines, newEnvFile} from '../units/env-file.ts'
import {addCodebases, configText, readConfig, serviceSettings} from '../units/service-config.ts'
import {checkLaunchd, isLoaded, refuseForeignPlist} from './launchctl.ts'
import type {LaunchdLayout} from './launchd-layout.ts'
import {workerPlist} from './plist.ts'

export type LaunchdInstallOptions = {
  machine: Machine
  layout: LaunchdLayout
  request: InstallRequest
  program: Program
  uid: number
  env: Environment
  isDryRun: boolean
  start: boolean
  print: (text: string) => void
}

/**
 * Installs the worker as a service of launchd, or updates it. Changes only what differs. Throws ExpectedError: launchd is
 * missing or the configuration is invalid (78), not root (77), a property list of another program or an unwritable file
 * (73), a failed command (1).
 */
export async function installWithLaunchd(options: LaunchdInstallOptions): Promise<ServiceReport> {
  const {machine, layout, isDryRun, print, start} = options
  if (!isDryRun) checkLaunchd(machine, layout, options.uid)
  refuseForeignPlist(machine, layout)
  const {steps: all, warnings: found} = plan(options)
  const written = await pendingSteps(all, machine)
  const hasLoaded = machine.isLive && (await isLoaded(machine, layout))
  const commands = start && machine.isLive && (written.length > 0 || !hasLoaded) ? startSteps(layout, hasLoaded) : []
  const steps = [...written, ...commands]
  await applySteps(steps, options)
  if (steps.length === 0) print(`${layout.label} is up to date. Nothing was changed.`)
  const warnings = [...found, limits(layout)]
  const next = isDryRun || start || steps.length === 0 || !machine.isLive ? [] : [startHint(layout, hasLoaded)]
  for (const warning of warnings) print(`Warning: ${warning}.`)
  for (const line of next) print(line)
  return {unit: layout.label, changes: steps.map(describeStep), warnings, next, dry_run: isDryRun}
}

/** What a service has on Linux, and not here. */
const limits = ({user}: LaunchdLayout) =>
  `launchd has no sandbox, no control groups, no limit of memory and no watchdog: agents run as ${user} and can do what ${user} can, and a process that leaves its session may outlive its task`

function plan(options: LaunchdInstallOptions): {steps: Step[]; warnings: string[]} {
  const {machine, layout, request, program, env} = options
  const {scope, configDir, configFile, envFile, programDir, plist, log, user} = layout
  if (request.agentUser !== undefined)
    throw configError('agent_user needs systemd, so it does not work on macOS.', 'Leave out --agent-user.')
  const existing = readConfig(machine, configFile)
  const requested = {server_url: request.server, opencode_bin: request.openCode}
  const given = Object.entries(requested).filter(([, value]) => value !== undefined)
  const before = existing?.content ?? request.configFile?.content ?? {}
  const merged = addCodebases({...before, ...Object.fromEntries(given)}, request.codebases, layout)
  const token = request.token === undefined ? {} : {A2A_AUTH_TOKEN: request.token}
  const fresh = () => appendLines(newEnvFile, 'From the environment of the installation', token)
  const envText = machine.read(envFile) ?? fresh()
  const settings = serviceSettings(layout, merged, envText)
  const openCode = findOpenCode(settings.config.opencode_bin, {machine, layout, env, programRoot: program.root})
  const content = openCode.configure ? {...merged, opencode_bin: openCode.configure} : merged
  const server = settings.config.server_url
  if (server === undefined && machine.isLive)
    throw configError('No server is configured for the service.', `Give --server URL, or add it to ${configFile}.`)
  if (request.server !== undefined && before['server_url'] !== request.server && !request.isInsecure)
    refusePlainHttp(request.server)
  const owner = scope === 'system' ? 'root' : 'self'
  const reader = scope === 'system' ? {user} : 'self'
  const plistText = workerPlist({layout, drainSeconds: settings.config.drain_timeout, paths: request.paths ?? []})
  return {
    steps: [
      {kind: 'folder', path: programDir, mode: 0o755, owner},
      {kind: 'folder', path: join(programDir, 'bin'), mode: 0o755, owner},
      {kind: 'program', program, place: {app: appDir(layout), node: nodeFile(layout)}},
      {kind: 'folder', path: configDir, mode: scope === 'system' ? 0o755 : 0o700, owner},
      {kind: 'file', path: configFile, text: configText(content, existing), mode: 0o600, owner: reader},
      {kind: 'file', path: envFile, text: envText, mode: 0o600, owner: reader},
      // Root writes into no home: the folder of the log is there since the first login.
      ...(scope === 'user' ? [{kind: 'folder', path: dirname(log), mode: 0o755, owner} as const] : []),
      {kind: 'file', path: plist, text: plistText, mode: 0o644, owner},
    ],
    warnings: [...settings.warnings, ...openCode.warnings],
  }
}

const command = (...words: string[]): Step => ({kind: 'run', command: ['launchctl', ...words]})

/** launchd reads a property list only when it loads it. Unloading drains the worker first. */
const startSteps = ({domain, label, plist}: LaunchdLayout, isRunning: boolean): Step[] => [
  ...(isRunning ? [command('bootout', `${domain}/${label}`)] : []),
  command('enable', `${domain}/${label}`),
  command('bootstrap', domain, plist),
]

function startHint(layout: LaunchdLayout, isRunning: boolean): string {
  const steps = startSteps(layout, isRunning).map((step) => describeStep(step).replace(/^run /, ''))
  const what = isRunning ? 'The running service still uses the old version. Restart it' : 'Start it'
  return `${what}: ${steps.join(' && ')}. Its log: ${layout.log}`
}
