import {randomBytes} from 'node:crypto'
import {appendFileSync, mkdirSync, rmSync, statSync} from 'node:fs'
import {basename, join} from 'node:path'
import {defaultProgram} from '../../protocol/agent-program.ts'
import {beginLog, type NewStart} from '../acp/begin-log.ts'
import {type Drive, driveAgent} from '../acp/drive-agent.ts'
import type {SentLog} from '../acp/sent-log.ts'
import {type AgentExecutorOptions, discardFiles} from '../agent-executor.ts'
import type {AgentWay} from '../agent-way.ts'
import type {Executor, PreparedRun, RunningAgent, RunObserver, RunRequest} from '../executor.ts'
import {retryBusyDatabase} from '../busy-database.ts'
import {environmentOf, launchAgent, loadsReporter, locksOf} from '../launch-agent.ts'
import {writeRunFiles} from '../run-files.ts'
import {runFiles} from '../spool/file-names.ts'
import {type Supervised, superviseAgent} from '../supervise-agent.ts'
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
        start: (observer) => start(task, waiting !== undefined, observer),
        discard() {
          if (waiting) options.pool.putBack(agent)
          else rmSync(agent.dir, {recursive: true, force: true})
          discardFiles(request)
        },
      }
    },
  }
}

const reporterKey = 'loads our plugin'

/** What an agent of this codebase would be started with now. */
export function currentFingerprint(way: AgentWay, options: WarmExecutorOptions, cwd: string): string {
  const env = environmentOf(way, {cwd, tmpDir: '', marker: ''}, options.launch)
  return fingerprintOf({
    cwd,
    binary: way.binary,
    env: {...env, [reporterKey]: String(loadsReporter(way, cwd, options.launch))},
  })
}

/** An agent that is not started yet. */
export function newAgent(
  {agentsDir, markerOwner, launch: {clock}}: WarmExecutorOptions,
  cwd: string,
  fingerprint: string,
  id = randomBytes(8).toString('hex'),
): WarmAgent {
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
      ...{way, args, observer},
      request: {...request, runDir: dir, marker},
      tmpDir: join(dir, runFiles.tmp),
      prepareConversation(hasReporter) {
        agent.hasReporter = hasReporter
        beforeStart()
      },
    },
    {...launch, env: withStandIn(agent, options)},
  )
  Object.assign(agent, {root: launched.identity, exited: launched.exited, group: launched.group})
}

/** The agent may ask the stand-in model, too. */
function withStandIn({dir}: WarmAgent, {launch: {env}, standIn}: WarmExecutorOptions): NodeJS.ProcessEnv {
  const config = standIn?.configFor(basename(dir), env['OPENCODE_CONFIG_CONTENT'])
  return config === undefined ? env : {...env, OPENCODE_CONFIG_CONTENT: config}
}

/** Starts an agent for this task. It makes its handshake as a part of it. */
async function launchFor(task: Task, observer: RunObserver): Promise<SentLog> {
  const {agent, request, way, options} = task
  let log: SentLog | undefined
  try {
    await startAgent(agent, request, way, options, observer, () => (log = logOf(task)))
  } catch (error) {
    rmSync(agent.dir, {recursive: true, force: true})
    throw error
  }
  return log ?? logOf(task)
}

/** Runs the task in the agent that has waited, or starts one for it. */
async function start(task: Task, isWaiting: boolean, observer: RunObserver): Promise<RunningAgent> {
  const {options, request} = task
  if (isWaiting) observer.onSpawned(task.agent.root)
  const log = isWaiting
    ? logOf(task)
    : await launchFor(task, observer).catch((error: unknown) => {
        discardFiles(request)
        throw error
      })
  const stop = new AbortController()
  const current: Current = {drive: undefined}
  const {clock} = options.launch
  const position = {stop: stop.signal, startedAt: clock.monotonic(), current}
  return {
    outcome: retryBusyDatabase(supervise(task, log, observer, position), {
      ...{clock, observer, stop: stop.signal},
      async again() {
        const {cwd, fingerprint, dir} = task.agent
        // With the same marker, because the journal has that one.
        const next = {...task, agent: newAgent(options, cwd, fingerprint, basename(dir))}
        return await supervise(next, await launchFor(next, observer), observer, position)
      },
    }),
    stop: (reason) => stop.abort(reason),
    give: (input) => current.drive?.give(input),
  }
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

type Current = {drive: Drive | undefined}
type Position = {stop: AbortSignal; startedAt: number; current: Current}

async function supervise(task: Task, log: SentLog, observer: RunObserver, position: Position): Promise<Supervised> {
  const {agent, request, model, way, options} = task
  const {pool, launch} = options
  const {clock} = launch
  const {runDir, prompt} = request
  const drive = driveAgent({runDir, prompt, log, clock, observer})
  position.current.drive = drive
  let isKept = false
  const supervised = await superviseAgent({
    ...{request, observer, clock, model, drive, root: agent.root, exited: agent.exited, group: agent.group},
    ...{startedAt: position.startedAt, stop: position.stop},
    place: {runDir: agent.dir, marker: agent.marker},
    spoolFrom: statSync(join(runDir, runFiles.stdout)).size,
    stderrFrom: log.start.stderrFrom,
    locks: locksOf(way, launch),
    name: way.name,
    async keeps() {
      if (!drive.announced || !drive.hasSucceeded) return false
      agent.announced = drive.announced
      isKept = await pool.giveBack(agent)
      return isKept
    },
  })
  if (!isKept) keepStderr(agent, runDir)
  if (!isKept) options.standIn?.forget(basename(agent.dir))
  return supervised
}
