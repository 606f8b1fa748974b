import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {isFullNow} from '../core/disk-full.ts'
import {messageOf} from '../core/errors.ts'
import {RunRecord} from '../opencode/output/record.ts'
import {judge} from '../opencode/output/verdict.ts'
import type {RunObserver, RunOutcome, RunRequest, StopReason} from './executor.ts'
import type {ProcessIdentity} from './processes/processes.ts'
import {runFiles} from './spool/file-names.ts'
import {endProcesses} from './processes/kill-tree.ts'
import {awaitedPermission} from './awaited-permission.ts'
import {countMemoryKills} from './processes/out-of-memory.ts'
import {createAgentSigns} from './agent-signs.ts'
import type {AgentUser} from '../opencode/program/agent-user.ts'
import {removeFolderOfUser} from './processes/user-folder.ts'
import type {RunGroup} from './processes/run-groups.ts'
import type {LockPlace} from '../opencode/program/stale-locks.ts'
import {readEvents} from './read-events.ts'
import type {AgentExit} from './spawn-agent.ts'
import {readTail} from './spool/read-tail.ts'
import {watchOutputSize} from './output-limit.ts'
import {watchUsage} from './usage-limit.ts'
import {createWatchdog} from './watchdog.ts'
import type {Drive} from './acp/drive-agent.ts'

export type SuperviseOptions = {
  request: RunRequest
  observer: RunObserver
  clock: Clock
  root: ProcessIdentity
  /** Undefined: ended without an exit code, because the process was not our child. */
  exited: Promise<AgentExit | undefined>
  /** Monotonic ms. */
  startedAt: number
  /** When it last printed, in monotonic ms, if it had printed before it was adopted. */
  printedAt?: number | undefined
  /** The requested model. */
  model: string | undefined
  /** The reason of the signal is a StopReason. */
  stop: AbortSignal
  /** Where the output of this process begins, in bytes. */
  spoolFrom: number
  stderrFrom: number
  locks?: LockPlace | undefined
  /** The control group of the run, if it has one. It is removed at the end. */
  group?: RunGroup | undefined
  /** The user that its processes run as, if it is another one. */
  user?: AgentUser | undefined
  /** The name of the agent's program, for people. */
  name: string
  /** The folder and the marker of the agent's process. Default: those of the run. */
  place?: AgentPlace | undefined
  /** Whether the process stays for other tasks, now that this one is done. Default: it is ended. */
  keeps?: () => Promise<boolean>
  /** The conversation with an agent that has one. It ends when that is over, because the agent does not by itself. */
  drive?: Drive | undefined
}

/** Within this time no system starts so many processes that pids wrap around. */
const recentMs = 5000
/** How long to wait for a killed process to end. */
const exitMs = 1000

/** `hasWorked`: there was an event of its work, and not only of a failure. */
/** Where an agent's process is at home: its streams, its report, its temporary folder, and what marks its processes. */
export type AgentPlace = {runDir: string; marker: string}

export type Supervised = {outcome: RunOutcome; hasWorked: boolean; stderr: string}

/** Supervises a running agent: reads its output, enforces deadlines, ends all its processes, and judges the outcome. */
export async function superviseAgent(options: SuperviseOptions): Promise<Supervised> {
  const {request, observer, clock, exited, startedAt, drive, name} = options
  const record = new RunRecord()
  const killsBefore = countMemoryKills()
  const exitSeen = new AbortController()
  const watching = new AbortController()
  const place = options.place ?? request
  const signs = createAgentSigns({...options, request: {...request, runDir: place.runDir}})
  // An agent with a conversation may go on after the end of a turn.
  const isFinished = () => !drive && record.finished && !record.overflowed
  let stop: StopReason | undefined
  const watchdog = createWatchdog({
    deadlines: request.deadlines,
    clock,
    startedAt,
    printedAt: options.printedAt,
    signs: (hasPrinted) => signs.read({hasPrinted, sessionId: record.sessionId ?? drive?.sessionId ?? null}),
    isFinished,
    isAsking: () => drive?.isAsking === true,
    name,
    awaitedPermission() {
      if (!drive) return awaitedPermission(place.runDir, options.stderrFrom)
      if (drive.isAsking) return undefined
      const what = drive.sessionId === undefined ? undefined : signs.askedBySubagent(drive.sessionId)
      return what === undefined ? undefined : {what: `${what} (asked by a subagent)`, isRejected: false}
    },
    describe: () => [drive?.describe(), signs.describe()].filter(Boolean).join('; '),
    onWait: observer.onProviderWait,
    onState: observer.onState,
  })
  const reading = readEvents({
    path: join(request.runDir, runFiles.stdout),
    from: options.spoolFrom,
    ended: exitSeen.signal,
    record,
    observer,
    onOutput: () => watchdog.recordOutput(),
    onStepStart: signs.onStepStart,
    onStepEnd: signs.onStepEnd,
  }).catch((error: unknown) => `the output of ${name} could not be read: ${messageOf(error)}`)
  const end = () =>
    endProcesses({
      ...options,
      runDir: place.runDir,
      marker: place.marker,
      seen: signs.members(),
      graceMs: stop?.graceMs ?? request.deadlines.grace,
      isRecent: clock.monotonic() - startedAt < recentMs,
    })

  const first = await Promise.race([
    exited.then(() => 'exit' as const),
    watchdog.watch(watching.signal),
    watchOutputSize(request, outputOf(options), clock, watching.signal),
    watchUsage({record, drive, limits: request.limits, clock}, watching.signal),
    stopped(options),
    ...(drive ? [drive.over.then(() => stopReasonOf(options) ?? ('over' as const))] : []),
  ])
  watching.abort('over')
  const wasFull = isFullNow(request.runDir) // before the cleanup, which frees space
  const isOutOfMemory = (countMemoryKills() ?? 0) > (killsBefore ?? 0)
  const isEndedByUs = first !== 'exit'
  const isKept = first === 'over' && (await options.keeps?.()) === true
  if (first === 'over') {
    signs.updateMembers()
    if (!isKept) await end()
  } else if (first !== 'exit' && first) {
    // A finished task counts as done, even if its process had to be ended.
    if (record.finished) observer.onWarning(`${first.error}; its processes were ended`)
    else stop = first
    signs.updateMembers()
    await end()
  }
  observer.onExited()
  // A process that cannot be ended does not hold up the report.
  const exit = isKept
    ? undefined
    : await Promise.race([exited, clock.sleep(exitMs, exitSeen.signal).then(() => undefined)])
  const left = isKept ? [] : await end() // before the last read: remaining processes may still write
  if (!isKept) options.group?.remove()
  if (options.user) removeFolderOfUser(options.user, request.marker)
  const unfolded = await drive
    ?.finish()
    .catch((error: unknown) => `its events could not be written: ${messageOf(error)}`)
  exitSeen.abort('exited')
  const unreadable = (await reading) ?? unfolded
  if (unreadable) stop ??= {status: 'failed', error: unreadable}
  if (left.length > 0)
    observer.onWarning(`processes of the run could not be ended: ${left.map(({pid}) => pid).join(', ')}`)

  const stderr = readTail(join(place.runDir, runFiles.stderr), options.stderrFrom)
  warnOfFallback(stderr, observer)
  return {
    outcome: outcomeOf(options, {record, exit: isEndedByUs ? undefined : exit, stderr, stop, wasFull, isOutOfMemory}),
    hasWorked: drive ? record.sessionId !== null : record.events > 0,
    stderr,
  }
}

/** What counts as the output of the run: files, and where it begins in them, in bytes. */
function outputOf({request, place, spoolFrom, stderrFrom, drive}: SuperviseOptions): [path: string, from: number][] {
  const folder = place?.runDir ?? request.runDir
  const isShared = folder !== request.runDir
  return [
    [join(request.runDir, runFiles.stdout), 0],
    [join(folder, runFiles.messages), isShared ? (drive?.messagesFrom ?? spoolFrom) : 0],
    [join(folder, runFiles.stderr), isShared ? stderrFrom : 0],
  ]
}

const stopReasonOf = ({stop}: SuperviseOptions) => (stop.aborted ? (stop.reason as StopReason) : undefined)

/** How long an agent may take to end its turn before its processes are ended. */
const turnEndMs = 1000

/** An agent that can end its turn is asked to first, so that its session is complete. */
const stopped = (options: SuperviseOptions) =>
  new Promise<StopReason>((resolve) => {
    const {stop, drive, request} = options
    const settle = async () => {
      const reason = stop.reason as StopReason
      await drive?.cancel(Math.min(reason.graceMs ?? request.deadlines.grace, turnEndMs))
      resolve(reason)
    }
    if (stop.aborted) void settle()
    else stop.addEventListener('abort', () => void settle(), {once: true})
  })

type Ending = {
  record: RunRecord
  exit: AgentExit | undefined
  stderr: string
  stop: StopReason | undefined
  wasFull: boolean
  isOutOfMemory: boolean
}

function outcomeOf({request, model, clock, startedAt, name}: SuperviseOptions, ending: Ending): RunOutcome {
  const {record} = ending
  const isDiskFull = ending.wasFull || request.wasDiskFull?.() === true
  return {
    ...judge({...ending, model, name, isDiskFull: !record.finished && isDiskFull}),
    result: record.result,
    hasBegun: record.events > 0,
    sessionId: record.sessionId ?? request.sessionId ?? null,
    usage: {...record.usage, model: model ?? null, duration_ms: Math.round(clock.monotonic() - startedAt)},
  }
}

/** OpenCode falls back to its default agent for one it cannot use, and reports that on stderr only. */
function warnOfFallback(stderr: string, observer: RunObserver): void {
  const line = stderr.split('\n').find((text) => /agent ".*falling back to default agent/i.test(text))
  if (line) observer.onWarning(line.replace(/^.*?(?=agent ")/, ''))
}
