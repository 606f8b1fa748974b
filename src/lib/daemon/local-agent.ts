import {join} from 'node:path'
import type {Config} from '../config/settings.ts'
import type {Environment} from '../config/file.ts'
import {systemClock} from '../core/clock.ts'
import type {EventBus} from '../events/bus.ts'
import {chooseContainment, type Contained} from '../executor/processes/containment.ts'
import {allowedVariables} from '../agents/installed-agents.ts'
import {codebaseProblems} from '../opencode/program/codebase-problems.ts'
import {environmentOfUser, type AgentUser} from '../opencode/program/agent-user.ts'
import {createCatalog} from '../opencode/program/catalog.ts'
import {dataDirectory, localOpenCode} from '../opencode/program/local-opencode.ts'
import {isExecutableFile} from '../opencode/program/locate.ts'
import {createModelSource, type ModelSource} from '../opencode/program/models.ts'
import {probeOpenCode, type OpenCodeProbe} from '../opencode/program/probe.ts'
import {allowHint, withheldVariables} from '../opencode/program/withheld.ts'
import type {CommandOptions} from '../opencode/storage/session-commands.ts'
import type {AgentProgram} from '../worker/health/agent-health.ts'
import {createLocalExecutors, type LocalExecutors} from './local-executors.ts'
import {reporterFor, usableAgentUser} from './agent-account.ts'

export type LocalAgentOptions = {
  config: Config
  stateDir: string
  /** Folder of this program. */
  root: string
  /** The folder for the folders of agents that stay. */
  agentsDir: string
  /** The beginning of all markers of the worker. */
  markerOwner: string
  env: Environment
}

export type LocalAgent = LocalExecutors & {
  contained: Contained
  /** The user that agents run as, if it is another one. */
  user: AgentUser | undefined
  /** The environment that the agent's is derived from. */
  env: Environment
  models: ModelSource
  commands: CommandOptions
  program: AgentProgram
}

/**
 * Finds and probes OpenCode at the start, so that problems show there and not in each task. Both are done again after a
 * run could not begin, because the program may have been removed, moved or updated. Throws ExpectedError: OpenCode is
 * missing or unusable (78), or does not answer (75), or `stop` was aborted before it answered (130).
 */
export async function prepareAgent(options: LocalAgentOptions, bus: EventBus, stop: AbortSignal): Promise<LocalAgent> {
  const {config, stateDir} = options
  const user = usableAgentUser(config)
  const contained = user
    ? chooseContainment('cgroup', options.env, 'agent_user needs a control group for each run')
    : chooseContainment(config.run_containment, options.env)
  const env = environmentOfUser(options.env, user)
  const note = (level: 'info' | 'warn', text: string) => bus.emit({type: 'notice', level, text})
  const find = async (signal?: AbortSignal) => {
    const found = localOpenCode(options)
    const known = {file: join(stateDir, 'opencode.json'), onSlow: (text: string) => note('warn', text)}
    const env = found.env(found.directory)
    return {found, probe: await probeOpenCode(found.binary, env, {...known, user, ...(signal ? {signal} : {})})}
  }
  let current = await find(stop)
  const describe = ({found, probe}: typeof current) => {
    note('info', `OpenCode ${probe.version} at ${found.binary} (${found.source})`)
    for (const text of probe.warnings) note('warn', text)
    const withheld = withheldVariables(env, allowedVariables(config.agents, env, config.env_allow))
    if (withheld.length > 0) note('warn', `Agents do not get ${withheld.join(', ')}; ${allowHint}`)
  }
  describe(current)
  for (const {path} of config.codebases)
    for (const {text, fixes} of await codebaseProblems(path, current.found.env(path), user))
      note('warn', `${text}. Run: ${fixes[0]}`)
  const about = ({found, probe}: typeof current) => `${found.binary} ${probe.version}`

  const {scratchDir, directory, env: environment} = current.found
  const reporter = reporterFor(user, scratchDir)
  const catalog = createCatalog({
    ...{scratchDir, user, env: environment, clock: systemClock},
    get binary() {
      return current.found.binary
    },
  })
  // Getters, so that each run uses the current program and the current live settings.
  const shared = {
    ...{
      catalog,
      env,
      user,
      groups: contained.groups,
      isNamespace: contained.kind === 'namespace',
      clock: systemClock,
    },
    get binary() {
      return current.found.binary
    },
    get probe(): OpenCodeProbe {
      return current.probe
    },
    get reporter() {
      return current.probe.version.startsWith('1.') ? reporter() : undefined
    },
    get allow() {
      return config.env_allow
    },
    get permissions() {
      return config.permissions
    },
    get unknownModel() {
      return config.unknown_model as 'fail' | 'default'
    },
    get gitIdentity() {
      return config.git_identity
    },
    policy: {
      permissions: 'ask' as const,
      get askMs() {
        return config.ask_timeout * 1000
      },
      get fallsBack() {
        return config.unknown_model === 'default'
      },
    },
  }
  const {agentsDir, markerOwner} = options
  const executors = await createLocalExecutors({config, env, openCode: shared, agentsDir, markerOwner, note})
  return {
    ...{contained, user, env, ...executors},
    models: createModelSource({
      ...{directory, dataDir: dataDirectory(env), scratchDir, user, env: environment, clock: systemClock},
      get binary() {
        return current.found.binary
      },
    }),
    commands: {
      ...{env: environment(directory), user, scratchDir},
      get binary() {
        return current.found.binary
      },
    },
    program: {
      problem: () => {
        const {binary} = current.found
        return isExecutableFile(binary) ? undefined : `OpenCode is no longer at ${binary}`
      },
      check: async () => {
        const next = await find()
        if (about(next) !== about(current)) describe(next)
        current = next
      },
    },
  }
}
