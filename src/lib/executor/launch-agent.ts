import {join} from 'node:path'
import {messageOf} from '../core/errors.ts'
import {agentAuthor} from '../opencode/program/agent-author.ts'
import type {AgentUser} from '../opencode/program/agent-user.ts'
import {agentEnvironment} from '../opencode/program/environment.ts'
import {openedReport, reporterVariables} from '../opencode/program/reporter.ts'
import type {LockPlace} from '../opencode/program/stale-locks.ts'
import type {AgentWay} from './agent-way.ts'
import type {RunObserver, RunRequest} from './executor.ts'
import type {RunGroup, RunGroups} from './processes/run-groups.ts'
import type {OpenRunFiles} from './run-files.ts'
import {type AgentProcess, reportFd, spawnAgent} from './spawn-agent.ts'
import {runFiles} from './spool/file-names.ts'

/** What is the same for all agents of a worker. */
export type LaunchOptions = {
  /** The worker's environment. The agent gets a part of it. */
  env: NodeJS.ProcessEnv
  /** Names of further variables that all agents may see. */
  readonly allow: readonly string[]
  /** The operator's OpenCode permissions. */
  readonly permissions?: unknown
  /** Author of commits where git knows none, `NAME <EMAIL>`. */
  readonly gitIdentity?: string | undefined
  /** Path of our plugin for OpenCode. Undefined: it is not loaded. */
  readonly reporter?: string | undefined
  /** The user that agents run as, if it is another one. Needs `groups`. */
  readonly user?: AgentUser | undefined
  /** Each run gets a pid namespace of its own. */
  readonly isNamespace?: boolean | undefined
  /** Each run gets a control group of its own here. Undefined: there are none on this machine. */
  readonly groups?: RunGroups | undefined
}

export type LaunchRequest = {
  request: RunRequest
  observer: Pick<RunObserver, 'onSpawned'>
  way: AgentWay
  args: readonly string[]
  tmpDir: string
  /** Called right before the start. `hasReporter`: our plugin is loaded. */
  prepareConversation: (hasReporter: boolean) => void
}

export type Launched = AgentProcess & {group: RunGroup | undefined}

/** Starts the process of an agent in its environment and its control group. Rejects if it cannot be started. */
export async function launchAgent(launched: LaunchRequest, options: LaunchOptions): Promise<Launched> {
  const {request, observer, way, args, tmpDir, prepareConversation} = launched
  const {cwd, marker, runDir} = request
  const {gitIdentity, reporter, user, groups, isNamespace = false} = options
  using files = way.open(runDir)
  const agentEnv = environmentOf(way, {cwd, tmpDir, marker}, options)
  const childEnv = {...(await agentAuthor(gitIdentity, {cwd, env: agentEnv, user})), ...agentEnv}
  const report = reportOf(files, runDir, user)
  const plugin =
    reporter !== undefined && way.usesPlugin
      ? reporterVariables({env: childEnv, cwd, plugin: reporter, user, report})
      : {}
  Object.assign(childEnv, plugin)
  prepareConversation(Object.keys(plugin).length > 0)
  const group = createGroup(groups, request)
  const pidFile = join(runDir, runFiles.pid)
  const place = {group, user, pidFile, isNamespace}
  const spawned = spawnAgent(
    {name: way.name, binary: way.binary, args, cwd, env: childEnv, files, ...place},
    observer.onSpawned,
  )
  return {...(await spawned.catch(removing(group))), group}
}

/** Whether an agent of this kind loads our plugin if it is started in this folder now. */
export function loadsReporter(way: AgentWay, cwd: string, options: LaunchOptions): boolean {
  const {reporter, user} = options
  if (reporter === undefined || !way.usesPlugin) return false
  const env = environmentOf(way, {cwd, tmpDir: '', marker: ''}, options)
  return Object.keys(reporterVariables({env, cwd, plugin: reporter, user, report: ''})).length > 0
}

/** Where locks of ended agents of this kind are. None in a namespace: the locks name pids, which are others there. */
export function locksOf(way: AgentWay, {user, isNamespace}: LaunchOptions): LockPlace | undefined {
  const folder = isNamespace ? undefined : way.locks?.()
  return folder === undefined ? undefined : {folder, user}
}

/** What an agent of this kind sees of the worker's environment. */
export const environmentOf = (
  way: AgentWay,
  place: {cwd: string; tmpDir: string; marker: string},
  {env, allow, permissions}: LaunchOptions,
): Record<string, string> =>
  agentEnvironment({base: env, ...place, allow: [...allow, ...(way.allow ?? [])], permissions})

/** An agent of another user cannot open the file in the run's folder, so it gets it opened. */
const reportOf = (files: OpenRunFiles, runDir: string, user: AgentUser | undefined) =>
  user ? openedReport(reportFd, files.report) : join(runDir, runFiles.report)

/** Without a group the run is possible too, but less is known about its processes. */
function createGroup(groups: RunGroups | undefined, {marker, runDir, onNotice}: RunRequest): RunGroup | undefined {
  try {
    return groups?.create(marker, runDir)
  } catch (error) {
    onNotice?.(`the run gets no control group of its own: ${messageOf(error)}`)
    return undefined
  }
}

const removing = (group: RunGroup | undefined) => (error: unknown) => {
  group?.remove()
  throw error
}
