import {execFile} from 'node:child_process'
import {existsSync, readdirSync, rmSync, statSync, writeFileSync} from 'node:fs'
import {totalmem} from 'node:os'
import {basename, join} from 'node:path'
import {promisify} from 'node:util'
import {installedAgents} from '../agents/installed-agents.ts'
import type {Environment} from '../config/file.ts'
import type {Config} from '../config/settings.ts'
import {readIfThere} from '../core/paths/read-if-there.ts'
import {messageOf} from '../core/errors.ts'
import {createAgentExecutor, type AgentExecutorOptions} from '../executor/agent-executor.ts'
import type {Executor} from '../executor/executor.ts'
import {loadsReporter} from '../executor/launch-agent.ts'
import {warmUpWithReporter} from '../executor/warm/late-reporter.ts'
import {startStandIn, type StandIn} from '../executor/warm/stand-in-model.ts'
import {createWarmExecutor, type WarmExecutorOptions} from '../executor/warm/warm-executor.ts'
import {WarmPool} from '../executor/warm/warm-pool.ts'
import {removeLeftSessions} from '../executor/warm/warm-up.ts'
import {installedAcpWay, type ConversationPolicy} from '../executor/ways/acp-way.ts'
import {commandWay} from '../executor/ways/command-way.ts'
import {hasOutcomeParity, openCodeAcpWay} from '../executor/ways/opencode-acp.ts'
import {programExecutor} from '../executor/ways/program-executor.ts'
import {createRunExecutor, type OpenCodeOptions} from '../executor/ways/run-way.ts'
import {mayAsk} from '../opencode/program/permissions.ts'

export type LocalExecutorsOptions = {
  config: Config
  env: Environment
  /** With getters, so that each run uses the current program and the current live settings. */
  openCode: OpenCodeOptions & AgentExecutorOptions & {readonly policy: ConversationPolicy}
  /** The folder for the folders of agents that stay. */
  agentsDir: string
  markerOwner: string
  note: (level: 'info' | 'warn', text: string) => void
}

export type LocalExecutors = {
  executor: Executor
  /** The names of the agents besides OpenCode that are installed. */
  agents: () => readonly string[]
  /** Starts an agent before there is a task, if agents may stay. Never rejects. */
  warmUp: (codebases: readonly string[]) => Promise<void>
  /** Ends the agents that wait. */
  close: () => Promise<void>
}

/** Agents need as much besides the worker and what they start. */
const memoryForWarmAgents = 4 * 1024 ** 3
const warmUpMs = 120_000
const dayMs = 24 * 60 * 60_000
const run = promisify(execFile)

/** Creates what runs the tasks of this worker: OpenCode in one of its ways, and the other agents that are installed. */
export async function createLocalExecutors(options: LocalExecutorsOptions): Promise<LocalExecutors> {
  const {config, env, openCode, note} = options
  const [cold, way] = [createRunExecutor(openCode), openCodeAcpWay(openCode)]
  const acp = createAgentExecutor(way, openCode)
  const usesProtocol = () => isOverProtocol(options, () => true)
  const warm = await createWarm(options, usesProtocol)
  const warmExecutor = createWarmExecutor(way, warm)
  const place = {env, clock: openCode.clock}
  const stop = new AbortController()
  let warmingUp: Promise<void> = Promise.resolve()
  const installed = () => installedAgents(config.agents, env).installed
  for (const {name, command, install} of installedAgents(config.agents, env).missing) {
    const fix = install ? `. Run: ${install}` : ''
    note('warn', `The agent ${name} is not installed: ${command[0]} was not found on PATH${fix}`)
  }
  return {
    executor: programExecutor({
      openCode(cwd) {
        if (!isOverProtocol(options, () => loadsReporter(way, cwd, openCode))) return cold
        return warm.pool.size > 0 ? warmExecutor : acp
      },
      executorOf: (program) => {
        const agent = installed().find(({name}) => name === program)
        if (!agent) return undefined
        const agentWay = agent.kind === 'acp' ? installedAcpWay(agent, openCode.policy, place) : commandWay(agent)
        return createAgentExecutor(agentWay, openCode)
      },
      names: () => installed().map(({name}) => name),
    }),
    agents: () => installed().map(({name}) => name),
    async warmUp(codebases) {
      const cwd = likeliest(codebases, options.agentsDir)
      if (cwd === undefined || !usesProtocol() || warm.pool.size === 0) return
      const deleteSession = async (id: string, directory: string) => {
        const place = {cwd: directory, env: {...env, PWD: directory}, timeout: 30_000}
        await run(openCode.binary, ['session', 'delete', id], place).catch(() => {})
      }
      const warming = {way, options: warm, deleteSession, limitMs: warmUpMs, signal: stop.signal}
      const warmOne = async () => {
        await removeLeftSessions(options.agentsDir, deleteSession)
        await warmUpWithReporter(cwd, {...warming, isUsed: () => isOverProtocol(options, () => false)})
      }
      warmingUp = warmOne().catch((error: unknown) => {
        note('warn', `No agent could be started ahead: ${messageOf(error)}`)
      })
      await warmingUp
    },
    async close() {
      stop.abort()
      await warmingUp
      await warm.pool.close()
      await warm.standIn?.[Symbol.asyncDispose]()
    },
  }
}

/**
 * Whether OpenCode is run over the Agent Client Protocol. There it tells less than `opencode run`, such as the tokens of
 * all steps, so by itself the worker uses it only with our plugin.
 */
function isOverProtocol({config, env, openCode}: LocalExecutorsOptions, hasReporter: () => boolean): boolean {
  const {executor, permissions, warm_agents = 0} = config
  if (executor !== 'auto') return executor === 'acp'
  if (warm_agents > 0 || mayAsk(permissions, env['OPENCODE_PERMISSION'])) return true
  return hasOutcomeParity(openCode.probe) && hasReporter()
}

/** Where another user's processes, or those of a namespace, cannot be told apart, no agent stays. */
async function createWarm(
  {config, openCode, agentsDir, markerOwner}: LocalExecutorsOptions,
  usesProtocol: () => boolean,
): Promise<WarmExecutorOptions> {
  const isPossible = !openCode.user && !openCode.isNamespace
  let standIn: StandIn | undefined
  const pool = new WarmPool({
    clock: openCode.clock,
    graceMs: 2000,
    get size() {
      if (!isPossible) return 0
      return config.warm_agents ?? (usesProtocol() && memoryLimit() >= memoryForWarmAgents ? 1 : 0)
    },
    onTaken: (cwd) => remember(cwd, agentsDir),
    onEnded: ({dir}) => standIn?.forget(basename(dir)),
  })
  removeOld(agentsDir)
  if (pool.size > 0) standIn = await startStandIn()
  return {launch: openCode, agentsDir, markerOwner, policy: openCode.policy, pool, standIn}
}

/** The memory that this process and its agents may use, in bytes: of the machine, or of the control group. */
function memoryLimit(): number {
  const group = /^0::(\/.*)$/m.exec(readIfThere('/proc/self/cgroup') ?? '')?.[1] ?? ''
  const limit = Number(readIfThere(join('/sys/fs/cgroup', group, 'memory.max')))
  return Number.isFinite(limit) && limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}

const lastFile = 'last-codebase'

function remember(cwd: string, agentsDir: string): void {
  try {
    writeFileSync(join(agentsDir, lastFile), cwd, {mode: 0o600})
  } catch {
    // The next start then begins with another codebase.
  }
}

/** The codebase that is likeliest to get the next task: that of the last one, or the first. */
function likeliest(codebases: readonly string[], agentsDir: string): string | undefined {
  const last = readIfThere(join(agentsDir, lastFile))
  return codebases.find((path) => path === last) ?? codebases[0]
}

/** Removes what killed workers have left. The files of a run that is not reported yet are younger. */
function removeOld(agentsDir: string): void {
  if (!existsSync(agentsDir)) return
  for (const name of readdirSync(agentsDir)) {
    const path = join(agentsDir, name)
    const stats = statSync(path, {throwIfNoEntry: false})
    if (stats?.isDirectory() && Date.now() - stats.mtimeMs > dayMs) rmSync(path, {recursive: true, force: true})
  }
}
