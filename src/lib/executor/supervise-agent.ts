import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {isFullNow} from '../core/disk-full.ts'
import {messageOf} from '../core/errors.ts'
import {RunRecord} from '../opencode/output/record.ts'
import {judge} from '../opencode/output/verdict.ts'
import {type RunObserver, type RunOutcome, type RunRequest, type StopReason, runFiles} from './executor.ts'
import type {ProcessIdentity} from './executor.ts'
import {endProcesses} from './kill-tree.ts'
import {awaitedPermission} from './awaited-permission.ts'
import {descendantsOf, isAlive} from './processes.ts'
import {readEvents} from './read-events.ts'
import type {AgentExit} from './spawn-agent.ts'
import {readTail} from './stderr-tail.ts'
import {createWatchdog} from './watchdog.ts'

export type SuperviseOptions = {
  request: RunRequest
  observer: RunObserver
  clock: Clock
  root: ProcessIdentity
  /** Undefined is an end without an exit code: the process was not our child. */
  exited: Promise<AgentExit | undefined>
  /** On the monotonic clock. */
  startedAt: number
  /** When it printed last, on the monotonic clock, if it had printed before it was taken over. */
  printedAt?: number | undefined
  /** The model that was asked for. */
  model: string | undefined
  /** Its reason is a StopReason. */
  stop: AbortSignal
  /** Where this process began to write, in bytes. */
  spoolFrom: number
  stderrFrom: number
}

/** No system starts so many processes in this time that their numbers come round to where they were. */
const recentMs = 5000
/** How long the end of a process is waited for after it was killed. */
const patienceMs = 1000

export type Supervised = {outcome: RunOutcome; events: number; stderr: string}

/** Sees a running agent to its end: reads along, keeps the deadlines, leaves no process behind, and judges. */
export async function superviseAgent(options: SuperviseOptions): Promise<Supervised> {
  const {request, observer, clock, exited, startedAt} = options
  const record = new RunRecord()
  const gone = new AbortController()
  const watching = new AbortController()
  const family = trackFamily(options.root)
  const isFinished = () => record.finished && !record.overflowed
  const watchdog = createWatchdog({
    deadlines: request.deadlines,
    clock,
    startedAt,
    printedAt: options.printedAt,
    isToolRunning: () => family.look() > 0,
    isFinished,
    awaitedPermission: () => awaitedPermission(request.runDir, options.stderrFrom),
  })
  const reading = readEvents({
    path: join(request.runDir, runFiles.stdout),
    from: options.spoolFrom,
    ended: gone.signal,
    record,
    observer,
    onOutput: () => watchdog.sawOutput(),
  }).catch((error: unknown) => `the output of OpenCode could not be read: ${messageOf(error)}`)
  const end = () =>
    endProcesses({
      ...options,
      ...request,
      seen: family.seen(),
      graceMs: request.deadlines.grace,
      isRecent: clock.monotonic() - startedAt < recentMs,
    })

  const first = await Promise.race([
    exited.then(() => 'exit' as const),
    watchdog.watch(watching.signal),
    stopped(options),
  ])
  watching.abort('over')
  const wasFull = isFullNow(request.runDir) // at once: what is cleared away next makes room
  let stop: StopReason | undefined
  if (first !== 'exit' && first) {
    // A task that was done is done, also when its process has to be helped to its end.
    if (record.finished) observer.warning(`${first.error}; its processes were ended`)
    else stop = first
    family.look()
    await end()
  }
  observer.exited()
  // A process that cannot be ended does not hold up the report.
  const exit = await Promise.race([exited, clock.sleep(patienceMs, gone.signal).then(() => undefined)])
  const left = await end() // before the last read: what is left may still write
  gone.abort('gone')
  const unreadable = await reading
  if (unreadable) stop ??= {status: 'failed', error: unreadable}
  if (left.length > 0)
    observer.warning(`processes of the run could not be ended: ${left.map(({pid}) => pid).join(', ')}`)

  const stderr = readTail(join(request.runDir, runFiles.stderr), options.stderrFrom)
  warnOfFallback(stderr, observer)
  return {outcome: outcomeOf(options, {record, exit, stderr, stop, wasFull}), events: record.events, stderr}
}

const stopped = ({stop}: SuperviseOptions) =>
  new Promise<StopReason>((resolve) => {
    const settle = () => resolve(stop.reason as StopReason)
    if (stop.aborted) settle()
    else stop.addEventListener('abort', settle, {once: true})
  })

/** Keeps in mind who descended from the agent while that can still be seen. */
function trackFamily(root: ProcessIdentity) {
  let members: ProcessIdentity[] = []
  return {
    /** Looks again, and says how many of them run. Those that were adopted by others are still among them. */
    look(): number {
      const before = members.filter((member) => isAlive(member))
      const below = descendantsOf([root, ...before])
      const known = new Set(below.map(({pid}) => pid))
      members = [...below, ...before.filter(({pid}) => !known.has(pid))]
      return members.length
    },
    seen: () => members,
  }
}

type Ending = {
  record: RunRecord
  exit: AgentExit | undefined
  stderr: string
  stop: StopReason | undefined
  wasFull: boolean
}

function outcomeOf({request, model, clock, startedAt}: SuperviseOptions, ending: Ending): RunOutcome {
  const {record} = ending
  const isDiskFull = ending.wasFull || request.wasDiskFull?.() === true
  return {
    ...judge({...ending, model, isDiskFull: !record.finished && isDiskFull}),
    result: record.result,
    sessionId: record.sessionId ?? request.sessionId ?? null,
    usage: {...record.usage, model: model ?? null, duration_ms: Math.round(clock.monotonic() - startedAt)},
  }
}

/** OpenCode takes its default agent instead of one it cannot use, and says so on stderr only. */
function warnOfFallback(stderr: string, observer: RunObserver): void {
  const line = stderr.split('\n').find((text) => /agent ".*falling back to default agent/i.test(text))
  if (line) observer.warning(line.replace(/^.*?(?=agent ")/, ''))
}
