import {statSync} from 'node:fs'
import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import type {Drive} from './acp/drive-agent.ts'
import type {Executor, RunningAgent, RunObserver, RunOutcome, RunRequest, StopReason} from './executor.ts'
import {launchAgent, type LaunchOptions, type Launched} from './launch-agent.ts'
import {runFiles} from './spool/file-names.ts'
import {cannotWrite, endLine, type OpenRunFiles, removeRunFiles, writeRunFiles} from './run-files.ts'
import {folderOfUser} from './processes/user-folder.ts'
import {type Supervised, superviseAgent} from './supervise-agent.ts'

/** How a kind of agent is run. */
export type AgentWay = {
  /** Name of the program, for people. */
  readonly name: string
  readonly binary: string
  /** Refuses what it can before anything is written: throws ExpectedError. Otherwise returns the arguments and the model. */
  plan(request: RunRequest): Promise<{args: readonly string[]; model: string | undefined}>
  /** Opens the agent's streams in the folder of the run. */
  open(runDir: string): OpenRunFiles
  /** Begins the conversation with an agent that has one. Called right before its start. */
  converse?(run: ConversationOptions): () => Drive
  /** The folder with the locks that end with its processes. */
  locks?(): string | undefined
  /** Whether it loads our plugin for OpenCode. */
  readonly usesPlugin: boolean
  /** Names of further variables that it may see. */
  readonly allow?: readonly string[]
}

export type ConversationOptions = {
  request: RunRequest
  model: string | undefined
  clock: Clock
  observer: RunObserver
  hasReporter: boolean
}

export type AgentExecutorOptions = Omit<LaunchOptions, 'allow'> & {
  /** Names of further variables that the agent may see. */
  readonly allow: readonly string[]
  clock: Clock
}

type Prepared = {
  options: AgentExecutorOptions
  way: AgentWay
  request: RunRequest
  args: readonly string[]
  model: string | undefined
  tmpDir: string
}

type Run = Prepared & {observer: RunObserver; clock: Clock}

/**
 * All OpenCode processes share one database, and its lock timeout is short under load. If two processes start in a new
 * home at once, one fails while the other creates the tables (`Failed query: CREATE TABLE …`).
 */
const busyDatabase = /database is locked|Failed to execute statement|Failed query/i
/** Pauses before each further start. */
const retriesMs = [1000, 3000, 10_000]

/** Creates the executor that runs each task in a process of its own. */
export function createAgentExecutor(way: AgentWay, options: AgentExecutorOptions): Executor {
  return {
    async prepare(request) {
      const prepared = await prepare(way, options, request)
      return {
        start: (observer) => start({...prepared, observer, clock: options.clock}),
        discard: () => discardFiles(request),
      }
    },
  }
}

async function prepare(way: AgentWay, options: AgentExecutorOptions, request: RunRequest): Promise<Prepared> {
  const planned = await way.plan(request)
  try {
    const own = await writeRunFiles(request.runDir, request.prompt)
    return {options, way, request, ...planned, tmpDir: options.user ? folderOfUser(request.marker) : own}
  } catch (error) {
    discardFiles(request)
    throw error
  }
}

/** Removes the files of a run that did not begin. A continued run keeps its spool. */
export function discardFiles({runDir, continues}: RunRequest): void {
  if (!continues) removeRunFiles(runDir)
}

async function start(run: Run): Promise<RunningAgent> {
  const startedAt = run.clock.monotonic()
  if (run.request.continues) endSpoolLine(run.request)
  const from = {spoolFrom: sizeOf(run, runFiles.stdout), stderrFrom: sizeOf(run, runFiles.stderr)}
  const process = await launch(run).catch((error: unknown) => {
    discardFiles(run.request)
    throw error
  })
  const stop = new AbortController()
  const current: Current = {drive: undefined}
  const outcome = finish(run, process, {startedAt, stop: stop.signal, current, ...from})
  return {
    outcome,
    stop: (reason) => stop.abort(reason),
    ...(process.drive?.takesInputs ? {give: (input) => current.drive?.give(input)} : {}),
  }
}

function endSpoolLine({runDir}: RunRequest): void {
  try {
    for (const name of [runFiles.stdout, runFiles.messages]) endLine(join(runDir, name))
  } catch (error) {
    throw cannotWrite(runDir, error)
  }
}

type Started = Launched & {drive: Drive | undefined}

async function launch({options, way, request, observer, clock, args, model, tmpDir}: Run): Promise<Started> {
  const {binary, allow = []} = way
  const all = {...options, allow: [...options.allow, ...allow]}
  let begin: ReturnType<NonNullable<AgentWay['converse']>> | undefined
  const prepareConversation = (hasReporter: boolean) => {
    begin = way.converse?.({request, model, clock, observer, hasReporter})
  }
  const command = {name: way.name, binary, args, tmpDir, open: way.open, usesPlugin: way.usesPlugin}
  const launched = await launchAgent({request, observer, ...command, prepareConversation}, all)
  return {...launched, drive: begin?.()}
}

/** Supervises the agent to its outcome. Starts it again if its database was busy, so that it did nothing yet. */
async function finish(run: Run, first: Started, position: Position): Promise<RunOutcome> {
  const {clock, observer} = run
  const {startedAt, stop, current} = position
  let ended = await superviseProcess(run, first, position)
  for (const pause of retriesMs) {
    const text = `${ended.stderr}\n${ended.outcome.error ?? ''}`
    const isBusy = ended.outcome.status === 'failed' && !ended.hasWorked && busyDatabase.test(text)
    if (!isBusy || stop.aborted) break
    observer.onWarning('the database of OpenCode was busy; trying once more')
    await clock.sleep(pause, stop)
    if (stop.aborted) return stoppedOutcome(ended.outcome, stop.reason as StopReason)
    const from = {spoolFrom: sizeOf(run, runFiles.stdout), stderrFrom: sizeOf(run, runFiles.stderr)}
    try {
      ended = await superviseProcess(run, await launch(run), {startedAt, stop, current, ...from})
    } catch (error) {
      return {...ended.outcome, error: messageOf(error)}
    }
  }

  return ended.outcome
}

const stoppedOutcome = (outcome: RunOutcome, {status, error}: StopReason): RunOutcome => ({...outcome, status, error})

type Current = {drive: Drive | undefined}
type Position = {startedAt: number; stop: AbortSignal; spoolFrom: number; stderrFrom: number; current: Current}

function superviseProcess(
  run: Run,
  {identity, exited, group, drive}: Started,
  position: Position,
): Promise<Supervised> {
  const {request, observer, clock, model, way, options} = run
  position.current.drive = drive
  return superviseAgent({
    ...{request, observer, clock, model, ...position, root: identity, exited, group, drive},
    name: way.name,
    user: options.user,
    // The locks of OpenCode name pids, which are others in another namespace.
    locks: options.isNamespace ? undefined : way.locks?.(),
  })
}

const sizeOf = ({request}: Run, name: string) =>
  statSync(join(request.runDir, name), {throwIfNoEntry: false})?.size ?? 0
