import {statSync} from 'node:fs'
import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {errorCode, messageOf} from '../core/errors.ts'
import type {AgentUser} from '../opencode/program/agent-user.ts'
import type {Catalog} from '../opencode/program/catalog.ts'
import {agentAuthor} from '../opencode/program/agent-author.ts'
import {agentArguments, normalizeModel} from '../opencode/program/command.ts'
import {agentEnvironment} from '../opencode/program/environment.ts'
import {openedReport, reporterVariables} from '../opencode/program/reporter.ts'
import type {OpenCodeProbe} from '../opencode/program/probe.ts'
import type {Executor, RunningAgent, RunObserver, RunOutcome, RunRequest, StopReason} from './executor.ts'
import {runFiles} from './spool/file-names.ts'
import {cannotWrite, endLine, openRunFiles, removeRunFiles, writeRunFiles, type OpenRunFiles} from './run-files.ts'
import {folderOfUser} from './processes/user-folder.ts'
import {lockFolder} from '../opencode/program/stale-locks.ts'
import type {RunGroup, RunGroups} from './processes/run-groups.ts'
import {type AgentProcess, reportFd, spawnAgent} from './spawn-agent.ts'
import {type Supervised, superviseAgent} from './supervise-agent.ts'

export type RunExecutorOptions = {
  readonly binary: string
  readonly probe: Pick<OpenCodeProbe, 'flags'>
  catalog: Catalog
  /** The worker's environment. The agent gets a part of it. */
  env: NodeJS.ProcessEnv
  /** Names of further variables that the agent may see. */
  readonly allow: readonly string[]
  /** The operator's OpenCode permissions. */
  readonly permissions?: unknown
  /** What becomes of a task whose model OpenCode does not have. */
  readonly unknownModel?: 'fail' | 'default' | undefined
  /** Author of commits where git knows none, `NAME <EMAIL>`. */
  readonly gitIdentity?: string | undefined
  clock: Clock
  /** Path of our plugin for OpenCode. Undefined: it is not loaded. */
  readonly reporter?: string | undefined
  /** The user that agents run as, if it is another one. Needs `groups`. */
  readonly user?: AgentUser | undefined
  /** Each run gets a pid namespace of its own. */
  readonly isNamespace?: boolean | undefined
  /** Each run gets a control group of its own here. Undefined: there are none on this machine. */
  readonly groups?: RunGroups | undefined
}

type Prepared = RunExecutorOptions & {
  request: RunRequest
  args: string[]
  model: string | undefined
  tmpDir: string
}

type Run = Prepared & {observer: RunObserver}

/**
 * All OpenCode processes share one database, and its lock timeout is short under load. If two processes start in a new
 * home at once, one fails while the other creates the tables (`Failed query: CREATE TABLE …`).
 */
const busyDatabase = /database is locked|Failed to execute statement|Failed query/i
/** Pauses before each further start. */
const retriesMs = [1000, 3000, 10_000]

/** Creates the executor that runs each task in its own `opencode run`. */
export function createRunExecutor(options: RunExecutorOptions): Executor {
  return {
    async prepare(request) {
      const prepared = await prepare(options, request)
      return {
        start: (observer) => start({...prepared, observer}),
        discard: () => discard(request),
      }
    },
  }
}

/** Refuses what it can before anything is written. Checks with a cached answer cost no time. */
async function prepare(options: RunExecutorOptions, request: RunRequest): Promise<Prepared> {
  const {catalog, probe} = options
  const wanted = normalizeModel(request.model)
  agentArguments({...request, model: wanted}, probe.flags) // refuses unsafe names before OpenCode is asked for them
  const agentCheck = catalog.checkAgent(request.agent, request.cwd)
  if (agentCheck) await checked(agentCheck, () => catalog.checkAgent(request.agent, request.cwd), 'agent', request)
  const model = await knownModel(wanted, options, request)
  const args = agentArguments({...request, model}, probe.flags)
  try {
    const own = await writeRunFiles(request.runDir, request.prompt)
    return {...options, request, args, model, tmpDir: options.user ? folderOfUser(request.marker) : own}
  } catch (error) {
    discard(request)
    throw error
  }
}

/** The model, if OpenCode has it. Otherwise throws ExpectedError, or returns undefined if the default may be used instead. */
async function knownModel(
  model: string | undefined,
  {catalog, unknownModel}: RunExecutorOptions,
  request: RunRequest,
): Promise<string | undefined> {
  const check = model === undefined ? undefined : catalog.checkModel(model, request.cwd)
  if (model === undefined || !check) return model
  try {
    await checked(check, () => catalog.checkModel(model, request.cwd), 'model', request)
    return model
  } catch (error) {
    if (unknownModel !== 'default' || errorCode(error) !== 'UNKNOWN_MODEL') throw error
    request.onNotice?.(`OpenCode has no model ${model}: the task runs with its default (unknown_model)`)
    return undefined
  }
}

/** Repeats a check that could not be made. If that fails too, OpenCode itself has to find out. */
async function checked(
  check: Promise<boolean>,
  repeat: () => Promise<boolean> | undefined,
  what: 'agent' | 'model',
  {agent, model, onNotice}: RunRequest,
): Promise<void> {
  if (await check) return
  const name = what === 'agent' ? agent : model
  onNotice?.(
    `OpenCode did not list its ${what}s in time, so the ${what} ${name} could not be checked; asking once more`,
  )
  if ((await repeat()) === false)
    onNotice?.(`OpenCode did not list its ${what}s again: the task begins, though the ${what} ${name} may not exist`)
}

/** Removes the files of a run that did not begin. A continued run keeps its spool. */
function discard({runDir, continues}: RunRequest): void {
  if (!continues) removeRunFiles(runDir)
}

async function start(run: Run): Promise<RunningAgent> {
  const stop = new AbortController()
  const startedAt = run.clock.monotonic()
  if (run.request.continues) endSpoolLine(run.request)
  const from = {spoolFrom: sizeOf(run, runFiles.stdout), stderrFrom: sizeOf(run, runFiles.stderr)}
  const process = await launch(run).catch((error: unknown) => {
    discard(run.request)
    throw error
  })
  return {
    outcome: finish(run, process, {startedAt, stop: stop.signal, ...from}),
    stop: (reason) => stop.abort(reason),
  }
}

function endSpoolLine({runDir}: RunRequest): void {
  try {
    endLine(join(runDir, runFiles.stdout))
  } catch (error) {
    throw cannotWrite(runDir, error)
  }
}

type Launched = AgentProcess & {group: RunGroup | undefined}

async function launch({request, observer, args, tmpDir, binary, env, reporter, ...run}: Run): Promise<Launched> {
  const {cwd, marker, runDir} = request
  const {allow, permissions, gitIdentity} = run
  using files = openRunFiles(runDir)
  const {user} = run
  const agentEnv = agentEnvironment({base: env, cwd, tmpDir, marker, allow, permissions})
  const childEnv = {...(await agentAuthor(gitIdentity, {cwd, env: agentEnv, user})), ...agentEnv}
  if (reporter !== undefined)
    Object.assign(
      childEnv,
      reporterVariables({env: childEnv, cwd, plugin: reporter, user, report: reportOf(files, runDir, user)}),
    )
  const group = createGroup(run.groups, request)
  const pidFile = join(runDir, runFiles.pid)
  const {isNamespace = false} = run
  const place = {group, user, pidFile, isNamespace}
  const spawned = spawnAgent({binary, args, cwd, env: childEnv, files, ...place}, observer.onSpawned)
  return {...(await spawned.catch(removing(group))), group}
}

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

/** Supervises the agent to its outcome. Starts it again if its database was busy, so that it did nothing yet. */
async function finish(run: Run, first: Launched, position: Position): Promise<RunOutcome> {
  const {clock, observer} = run
  const {startedAt, stop} = position
  let ended = await superviseProcess(run, first, position)
  for (const pause of retriesMs) {
    const isBusy = ended.outcome.status === 'failed' && ended.events === 0 && busyDatabase.test(ended.stderr)
    if (!isBusy || stop.aborted) break
    observer.onWarning('the database of OpenCode was busy; trying once more')
    await clock.sleep(pause, stop)
    if (stop.aborted) return stoppedOutcome(ended.outcome, stop.reason as StopReason)
    const from = {spoolFrom: sizeOf(run, runFiles.stdout), stderrFrom: sizeOf(run, runFiles.stderr)}
    try {
      ended = await superviseProcess(run, await launch(run), {startedAt, stop, ...from})
    } catch (error) {
      return {...ended.outcome, error: messageOf(error)}
    }
  }

  return ended.outcome
}

const stoppedOutcome = (outcome: RunOutcome, {status, error}: StopReason): RunOutcome => ({...outcome, status, error})

type Position = {startedAt: number; stop: AbortSignal; spoolFrom: number; stderrFrom: number}

const superviseProcess = (run: Run, {identity, exited, group}: Launched, position: Position): Promise<Supervised> =>
  superviseAgent({
    ...{...run, ...position, root: identity, exited, group},
    // The locks of OpenCode name pids, which are others in another namespace.
    locks: run.isNamespace ? undefined : lockFolder(run.env),
  })

const sizeOf = ({request}: Run, name: string) =>
  statSync(join(request.runDir, name), {throwIfNoEntry: false})?.size ?? 0
