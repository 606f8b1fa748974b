import type {ControlPlaneClient} from '../../client/control-plane.ts'
import type {Clock} from '../../core/clock.ts'
import {isDiskFull, reasonOf} from '../../core/disk-full.ts'
import type {Emit} from '../../events/bus.ts'
import {noUsage} from '../../executor/executor.ts'
import type {ProcessIdentity, RunningAgent, RunObserver, RunOutcome, StopReason} from '../../executor/executor.ts'
import type {Journal} from '../../journal/journal.ts'
import type {StatusUpdate} from '../../protocol/schemas.ts'
import type {Delivery, Tail} from './delivery.ts'
import {reasonToStop} from './held-task.ts'
import type {Lock} from '../locks/lock-file.ts'
import type {DiskWatch} from '../disk/disk-watch.ts'
import type {RunFolders} from '../disk/run-directory.ts'
import {attemptOf, giveBackOf, reportOf} from './task-request.ts'

/** A task in hand, from the moment its slot is taken until its end is reported. */
export type ActiveTask = {
  id: string
  title: string
  attempt: number
  codebase: string
  phase: 'claiming' | 'starting' | 'running' | 'reporting'
  since: number
  /** Any worker may have it: it belongs to no codebase of this machine. */
  isPortable: boolean
  /** When it became ours, on the monotonic clock. */
  heldSince: number
  sessionId: string | null
  agent?: RunningAgent
  stop?: StopReason
  /** Settles when the server has been told the session, or has not. */
  attached?: Promise<void>
  done: Promise<void>
}

export type SeeParts = {
  client: ControlPlaneClient
  journal: Journal
  delivery: Delivery
  clock: Clock
  emit: Emit
  workerId: string
  folders: RunFolders
  disk: Pick<DiskWatch, 'makeRoom' | 'wasFullSince'>
  /** Aborted when nothing may go on, not even reports. */
  signal: AbortSignal
}

/** A run that is in the journal, whether it is to be begun or was begun by an earlier process. */
export type Run = {task_id: string; attempt: number; run_dir: string; title: string; agent: string}

export type Hand = {
  /** Starts the agent, or takes it over. What it rejects with is the task's error. */
  start: (observer: RunObserver) => Promise<RunningAgent>
  lane: Lock | undefined
  /** Gives the working tree and the slot back. */
  free: () => void
  /** Bytes of the spool that the server has acknowledged; undefined: its relay begins when the agent does. */
  relayFrom?: number
  /** What the run took before this agent. */
  before?: RunOutcome['usage']
}

/** Our own server is told the session of a run that goes on; one that ends sooner tells it with its report. */
const sessionAfterMs = 100

/** Sees a run to its acknowledged report: its output on its way meanwhile, whatever goes wrong becomes its outcome. */
export async function seeRun(run: Run, active: ActiveTask, hand: Hand, parts: SeeParts): Promise<void> {
  const {delivery, folders} = parts
  const {outcome, output} = await execute(run, active, hand, parts)
  const report = endOf(run, active, outcome, parts)
  active.phase = 'reporting'
  keep(run, report, parts)
  const tail = await output
  // A server without attempts lets a late `running` undo the final state.
  if (run.attempt === 0) await active.attached
  // The tree is free before the server hears of it: its next offer may come before its answer.
  hand.free()
  await delivery.report(run, report, tail)
  folders.ended(run.run_dir)
}

/** What the server is told of how it ended; everybody here hears of it too. */
function endOf(run: Run, active: ActiveTask, outcome: RunOutcome, {emit, workerId}: SeeParts): StatusUpdate {
  const {status, error, usage} = outcome
  const taskId = run.task_id
  if (status === 'failed' && active.stop?.givesBack) {
    emit({type: 'task.dropped', taskId, reason: active.stop.error})
    return giveBackOf(run, active.stop.error, workerId)
  }

  emit({type: 'task.finished', taskId, status, ms: usage.duration_ms ?? 0, error, cost: usage.cost})
  return reportOf(run, outcome, workerId)
}

/** A report that cannot be kept, as the disk is full, is delivered all the same, unless the worker is killed before. */
export function keep(run: Run, report: StatusUpdate, {journal, emit}: Pick<SeeParts, 'journal' | 'emit'>): void {
  const problem = journal.freeze(run, report)
  if (problem === undefined) return
  const text = `The report is not in the journal yet, and sent all the same: ${problem}`
  emit({type: 'notice', level: 'error', taskId: run.task_id, text})
}

type Executed = {outcome: RunOutcome; output: Promise<Tail | undefined>}

async function execute(run: Run, active: ActiveTask, hand: Hand, parts: SeeParts): Promise<Executed> {
  const {clock, delivery} = parts
  const begun = clock.monotonic()
  const ended = new AbortController()
  const life = {isGone: false}
  let output: Promise<Tail | undefined> | undefined
  // A second start goes on in the same spool.
  const relay = (from: number) =>
    (output ??= delivery.output(run, from, {isClosing: () => life.isGone, ended: ended.signal}))
  const done = (outcome: RunOutcome) => ({outcome, output: output ?? Promise.resolve(undefined)})
  if (hand.relayFrom !== undefined) void relay(hand.relayFrom)
  try {
    if (active.stop) return done(ofNothing(active.stop))
    const observer = observe(run, active, {lane: hand.lane, life, ended: ended.signal, relay}, parts)
    active.agent = await hand.start(observer)
    active.phase = 'running'
    if (active.stop) active.agent.stop(active.stop)
    const outcome = await active.agent.outcome
    return done(hand.before ? {...outcome, usage: sum(hand.before, outcome.usage)} : outcome)
  } catch (error) {
    if (isDiskFull(error)) parts.disk.makeRoom() // for the report
    const outcome = ofNothing({status: 'failed', error: reasonOf(error)})
    return done({...outcome, usage: {...noUsage, duration_ms: Math.round(clock.monotonic() - begun)}})
  } finally {
    ended.abort()
  }
}

/** What two agents of one run took together. */
const sum = (before: RunOutcome['usage'], after: RunOutcome['usage']): RunOutcome['usage'] => ({
  ...after,
  input: before.input + after.input,
  output: before.output + after.output,
  reasoning: before.reasoning + after.reasoning,
  cache_read: before.cache_read + after.cache_read,
  cache_write: before.cache_write + after.cache_write,
  cost: before.cost + after.cost,
})

type Observed = {lane: Lock | undefined; life: {isGone: boolean}; ended: AbortSignal; relay: (from: number) => unknown}

/** Writes down and passes on what a run tells of itself. */
function observe(run: Run, active: ActiveTask, {lane, life, ended, relay}: Observed, parts: SeeParts): RunObserver {
  const {journal, emit} = parts
  const {task_id: taskId, title, agent, attempt} = run
  return {
    spawned: ({pid, startTime}) => {
      journal.spawned(run, pid, startTime)
      handOver(lane, {pid, startTime}, (text) => emit({type: 'notice', level: 'warn', taskId, text}))
      emit({type: 'task.started', taskId, attempt, title, path: active.codebase, agent, pid})
      life.isGone = false
      void relay(0)
    },
    exited: () => (life.isGone = true),
    session: (id) => {
      active.sessionId = id
      journal.session(run, id)
      emit({type: 'task.session', taskId, sessionId: id})
      // Once more with the final report, so a failure here costs nothing.
      active.attached = attachSession(run, active, id, ended, parts).catch(() => {})
    },
    activity: (line, text) => emit({type: 'task.activity', taskId, line, ...(text === undefined ? {} : {text})}),
    warning: (text) => emit({type: 'notice', level: 'warn', taskId, text}),
  }
}

/** Where that cannot be written the lock stays this process's own, which is as good for as long as it lives. */
function handOver(lane: Lock | undefined, agent: ProcessIdentity, warn: (text: string) => void): void {
  try {
    lane?.handTo(agent)
  } catch (error) {
    warn(`the lock of the working tree does not name the agent: ${reasonOf(error)}`)
  }
}

async function attachSession(
  {task_id: id, attempt}: Run,
  active: ActiveTask,
  sessionId: string,
  ended: AbortSignal,
  {client, clock, workerId, signal}: SeeParts,
): Promise<void> {
  if (attempt > 0) await clock.sleep(sessionAfterMs, ended)
  if (attempt > 0 && (ended.aborted || signal.aborted)) return
  // A server without attempts would take `running` for the end of a cancellation that came meanwhile.
  const reason = attempt === 0 ? reasonToStop(await client.task(id, signal), attempt, workerId) : undefined
  if (reason) {
    active.stop ??= reason
    active.agent?.stop(reason)
    return
  }

  const update = {status: 'running', worker_id: workerId, session_id: sessionId, ...attemptOf({attempt})}
  await client.updateStatus(id, update, signal)
}

const ofNothing = ({status, error}: StopReason): RunOutcome => ({
  status,
  result: null,
  error,
  sessionId: null,
  usage: {...noUsage, duration_ms: 0},
})
