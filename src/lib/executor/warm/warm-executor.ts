import {randomBytes} from 'node:crypto'
import {appendFileSync, mkdirSync, rmSync} from 'node:fs'
import {basename, join} from 'node:path'
import {agentEnvironment} from '../../opencode/program/environment.ts'
import {defaultProgram} from '../../protocol/agent-program.ts'
import {beginLog, type NewStart} from '../acp/begin-log.ts'
import {driveAgent, type Drive} from '../acp/drive-agent.ts'
import type {SentLog} from '../acp/sent-log.ts'
import {type AgentExecutorOptions, type AgentWay, discardFiles} from '../agent-executor.ts'
import type {Executor, PreparedRun, RunningAgent, RunObserver, RunRequest} from '../executor.ts'
import {launchAgent} from '../launch-agent.ts'
import {writeRunFiles} from '../run-files.ts'
import {runFiles} from '../spool/file-names.ts'
import {superviseAgent} from '../supervise-agent.ts'
import {startPolicy, type ConversationPolicy} from '../ways/acp-way.ts'
import {fingerprintOf} from './fingerprint.ts'
import type {StandIn} from './stand-in-model.ts'
import {keepStderr, type WarmAgent, type WarmPool} from './warm-pool.ts'

export type WarmExecutorOptions = {
  /** How agents are started. */
  launch: AgentExecutorOptions
  /** The folder for the folders of agents. */
  agentsDir: string
  /** The beginning of all markers of this worker. */
  markerOwner: string
  readonly policy: ConversationPolicy
  pool: WarmPool
  /** Undefined: agents are not warmed up, and name their sessions themselves. */
  standIn?: StandIn | undefined
}

type Task = {
  options: WarmExecutorOptions
  way: AgentWay
  request: RunRequest
  model: string | undefined
  agent: WarmAgent
}

/**
 * Runs tasks in processes that stay for the next task of the same codebase. Loading an agent, its configuration and its
 * tools takes seconds, and is done once per process and folder.
 */
export function createWarmExecutor(way: AgentWay, options: WarmExecutorOptions): Executor {
  return {
    async prepare(request): Promise<PreparedRun> {
      const {model} = await way.plan(request)
      await writeRunFiles(request.runDir, request.prompt)
      const fingerprint = currentFingerprint(way, options, request.cwd)
      const waiting = options.pool.take(request.cwd, fingerprint)
      const agent = waiting ?? newAgent(options, request.cwd, fingerprint)
      const task = {options, way, request, model, agent}
      return {
        marker: agent.marker,
        start: async (observer) => await (waiting ? begin(task, observer) : startNew(task, observer)),
        discard() {
          if (waiting) options.pool.putBack(agent)
          else rmSync(agent.dir, {recursive: true, force: true})
          discardFiles(request)
        },
      }
    },
  }
}

/** What an agent of this codebase would be started with now. */
export function currentFingerprint(way: AgentWay, options: WarmExecutorOptions, cwd: string): string {
  const {env, allow, permissions} = options.launch
  const all = [...allow, ...(way.allow ?? [])]
  const stable = agentEnvironment({base: env, cwd, tmpDir: '', marker: '', allow: all, permissions})
  return fingerprintOf({cwd, binary: way.binary, env: stable})
}

/** An agent that is not started yet. */
export function newAgent(
  {agentsDir, markerOwner, launch: {clock}}: WarmExecutorOptions,
  cwd: string,
  fingerprint: string,
): WarmAgent {
  const id = randomBytes(8).toString('hex')
  const dir = join(agentsDir, id)
  mkdirSync(join(dir, runFiles.tmp), {recursive: true, mode: 0o700})
  return {
    ...{dir, cwd, fingerprint, marker: `${markerOwner}:agent-${id}:0`},
    ...{root: {pid: 0, startTime: ''}, exited: Promise.resolve(undefined), group: undefined},
    ...{announced: null, hasReporter: false, tasks: 0, startedAt: clock.monotonic()},
  }
}

/** Starts the process of an agent. */
export async function startAgent(
  agent: WarmAgent,
  request: RunRequest,
  way: AgentWay,
  options: WarmExecutorOptions,
  observer: Pick<RunObserver, 'onSpawned'>,
  beforeStart: () => void,
): Promise<void> {
  const {launch} = options
  const {dir, marker} = agent
  const {args} = await way.plan(request)
  const launched = await launchAgent(
    {
      ...{name: way.name, binary: way.binary, args, open: way.open, usesPlugin: way.usesPlugin, observer},
      request: {...request, runDir: dir, marker},
      tmpDir: join(dir, runFiles.tmp),
      prepareConversation(hasReporter) {
        agent.hasReporter = hasReporter
        beforeStart()
      },
    },
    {...launch, env: environmentOf(agent, options), allow: [...launch.allow, ...(way.allow ?? [])]},
  )
  Object.assign(agent, {root: launched.identity, exited: launched.exited, group: launched.group})
}

/** The agent may ask the stand-in model, too. */
function environmentOf({dir}: WarmAgent, {launch: {env}, standIn}: WarmExecutorOptions): NodeJS.ProcessEnv {
  const config = standIn?.configFor(basename(dir), env['OPENCODE_CONFIG_CONTENT'])
  return config === undefined ? env : {...env, OPENCODE_CONFIG_CONTENT: config}
}

/** Starts an agent for this task. It makes its handshake as a part of it. */
async function startNew(task: Task, observer: RunObserver): Promise<RunningAgent> {
  const {agent, request, way, options} = task
  let log: SentLog | undefined
  try {
    await startAgent(agent, request, way, options, observer, () => (log = logOf(task)))
  } catch (error) {
    rmSync(agent.dir, {recursive: true, force: true})
    discardFiles(request)
    throw error
  }
  return supervise(task, log ?? logOf(task), observer)
}

/** Gives the task to an agent that has waited. */
async function begin(task: Task, observer: RunObserver): Promise<RunningAgent> {
  observer.onSpawned(task.agent.root)
  return supervise(task, logOf(task), observer)
}

function logOf({agent, request, model, way, options}: Task): SentLog {
  const {runDir, cwd, sessionId = null, agent: mode} = request
  agent.tasks += 1
  options.standIn?.setTitle(basename(agent.dir), request.title)
  appendFileSync(join(runDir, runFiles.stdout), '', {mode: 0o600}) // its upload begins with the agent
  const start: NewStart = {
    ...{kind: 'acp', program: defaultProgram, name: way.name, cwd, sessionId, model: model ?? null, mode},
    ...{agentDir: agent.dir, prefix: `task-${agent.tasks}-`, announced: agent.announced},
    ...{hasReporter: agent.hasReporter, ...startPolicy(request, options.policy)},
  }
  return beginLog(runDir, start, options.launch.clock.now())
}

function supervise({agent, request, model, way, options}: Task, log: SentLog, observer: RunObserver): RunningAgent {
  const {pool, launch} = options
  const {clock} = launch
  const stop = new AbortController()
  const {runDir, prompt} = request
  const drive: Drive = driveAgent({runDir, prompt, log, clock, observer})
  let isKept = false
  const supervised = superviseAgent({
    ...{request, observer, clock, model, drive, root: agent.root, exited: agent.exited, group: agent.group},
    place: {runDir: agent.dir, marker: agent.marker},
    startedAt: clock.monotonic(),
    stop: stop.signal,
    spoolFrom: 0,
    stderrFrom: log.start.stderrFrom,
    locks: launch.isNamespace ? undefined : way.locks?.(),
    name: way.name,
    async keeps() {
      if (!drive.announced || !drive.hasSucceeded) return false
      agent.announced = drive.announced
      isKept = await pool.giveBack(agent)
      return isKept
    },
  })
  return {
    outcome: supervised.then(({outcome}) => {
      if (!isKept) keepStderr(agent, runDir)
      if (!isKept) options.standIn?.forget(basename(agent.dir))
      return outcome
    }),
    stop: (reason) => stop.abort(reason),
    give: (input) => drive.give(input),
  }
}
