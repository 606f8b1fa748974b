import {statSync} from 'node:fs'
import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import type {Drive} from './acp/drive-agent.ts'
import type {AgentWay} from './agent-way.ts'
import {retryBusyDatabase} from './busy-database.ts'
import type {Executor, RunningAgent, RunObserver, RunRequest} from './executor.ts'
import {launchAgent, type LaunchOptions, type Launched, locksOf} from './launch-agent.ts'
import {runFiles} from './spool/file-names.ts'
import {cannotWrite, endLine, removeRunFiles, writeRunFiles} from './run-files.ts'
import {folderOfUser} from './processes/user-folder.ts'
import {type Supervised, superviseAgent} from './supervise-agent.ts'

export type AgentExecutorOptions = LaunchOptions & {clock: Clock}

type Prepared = {
  options: AgentExecutorOptions
  way: AgentWay
  request: RunRequest
  args: readonly string[]
  model: string | undefined
  tmpDir: string
}

type Run = Prepared & {observer: RunObserver; clock: Clock}

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
  const from = endOfStreams(run)
  const process = await launch(run).catch((error: unknown) => {
    discardFiles(run.request)
    throw error
  })
  const stop = new AbortController()
  const current: Current = {drive: undefined}
  const position = {startedAt, stop: stop.signal, current}
  const outcome = retryBusyDatabase(superviseProcess(run, process, {...position, ...from}), {
    ...{clock: run.clock, observer: run.observer, stop: stop.signal},
    async again() {
      const end = endOfStreams(run)
      return await superviseProcess(run, await launch(run), {...position, ...end})
    },
  })
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
  let begin: ReturnType<NonNullable<AgentWay['converse']>> | undefined
  const prepareConversation = (hasReporter: boolean) => {
    begin = way.converse?.({request, model, clock, observer, hasReporter})
  }
  const launched = await launchAgent({way, request, observer, args, tmpDir, prepareConversation}, options)
  return {...launched, drive: begin?.()}
}

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
    locks: locksOf(way, options),
  })
}

/** Where the output of a new process begins, in bytes. */
const endOfStreams = (run: Run) => ({
  spoolFrom: sizeOf(run, runFiles.stdout),
  stderrFrom: sizeOf(run, runFiles.stderr),
})

const sizeOf = ({request}: Run, name: string) =>
  statSync(join(request.runDir, name), {throwIfNoEntry: false})?.size ?? 0
