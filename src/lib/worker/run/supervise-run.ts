import type {Clock} from '../../core/clock.ts'
import {isDiskFull, failureReason} from '../../core/disk-full.ts'
import {isMachineFault} from '../../core/machine-fault.ts'
import {noUsage, type RunOutcome, type StopReason} from '../../executor/executor.ts'
import type {StatusUpdate} from '../../protocol/schemas.ts'
import type {DiskMonitor} from '../disk/disk-monitor.ts'
import type {RunFolders} from '../disk/run-folders.ts'
import type {AgentHealth} from '../health/agent-health.ts'
import type {DailyCost} from '../health/daily-cost.ts'
import type {ProviderHealth} from '../health/provider-health.ts'
import type {Conversation} from '../inputs/conversation.ts'
import type {Conversations} from '../inputs/conversations.ts'
import type {ActiveTask} from './active-task.ts'
import {withheldHint} from './failure-hints.ts'
import type {ClearLeftLocks} from './left-locks.ts'
import {finalReportOf, requeueReportOf} from './reports.ts'
import {createRunObserver, type RunObserverOptions} from './run-observer.ts'
import type {Run, RunSetup, SuperviseRun} from './run-setup.ts'
import type {RunUploader, Tail} from './run-uploader.ts'

export type SuperviseRunOptions = RunObserverOptions & {
  uploader: RunUploader
  clock: Clock
  workerId: string
  folders: RunFolders
  disk: Pick<DiskMonitor, 'makeRoom'>
  health: RunHealth
  providers: Pick<ProviderHealth, 'record'>
  dailyCost: Pick<DailyCost, 'add'>
  clearLeftLocks: ClearLeftLocks
  /** Variables that agents usually need and do not get. */
  withheld: () => readonly string[]
  conversations: Pick<Conversations, 'open' | 'close'>
}

/** What a run tells about the machine, and learns from it. */
export type RunHealth = Pick<AgentHealth, 'reportFault' | 'reportBegin' | 'diagnose'>

/** Returns the function that supervises a run until its report is acknowledged. Any failure becomes its outcome. */
export const runSupervisor =
  (options: SuperviseRunOptions): SuperviseRun =>
  async (run, active, setup) => {
    const {uploader, folders, conversations} = options
    const conversation = conversations.open(run)
    const {upload, ...executed} = await execute(run, active, {...setup, conversation}, options)
    addHints(executed.outcome, {run, active, setup, ...options})
    const report = reportFor(run, active, executed, options)
    active.phase = 'reporting'
    active.reportingSince = options.clock.monotonic()
    saveReport(run, report, options)
    const tail = await upload
    // A server without attempts would let a late `running` replace the final state.
    if (run.attempt === 0) await active.sessionReported
    // Release the working tree before the report: the next offer may come before the answer.
    setup.release()
    // What became of inputs comes before the end: after it nobody could tell.
    await conversation.end()
    await uploader.uploadReport(run, report, tail)
    conversations.close(conversation)
    folders.finish(run.run_dir)
  }

/** The error may quote the provider, the log or stderr, which are not redacted like the output. */
const redacted = (outcome: RunOutcome, {redact}: Pick<SuperviseRunOptions, 'redact'>): RunOutcome => ({
  ...outcome,
  error: outcome.error === null ? null : redact(outcome.error),
  ...(outcome.provider ? {provider: {...outcome.provider, message: redact(outcome.provider.message)}} : {}),
})

type Hints = Pick<SuperviseRunOptions, 'clearLeftLocks' | 'withheld'>

/** Removes git locks that the agent has left. The error of a failed run names other locks, and what the agent lacked. */
function addHints(
  outcome: RunOutcome,
  {run, active, setup, clearLeftLocks, withheld}: {run: Run; active: ActiveTask; setup: RunSetup} & Hints,
): void {
  const left = {taskId: run.task_id, path: run.path, since: active.since}
  const hints = [setup.treeLock && clearLeftLocks(left), withheldHint(outcome, withheld())]
  if (outcome.status !== 'failed') return
  for (const hint of hints) if (hint !== undefined) outcome.error = `${outcome.error} (${hint})`
}

/** The report to send. Emits the outcome as an event. */
function reportFor(
  run: Run,
  active: ActiveTask,
  {outcome, fault}: Omit<Executed, 'upload'>,
  {emit, workerId, health}: Pick<SuperviseRunOptions, 'emit' | 'workerId' | 'health'>,
): StatusUpdate {
  const {status, error, usage} = outcome
  const taskId = run.task_id
  if (fault?.of === 'machine') health.reportFault(fault.reason)
  // A server without attempts takes nothing back.
  if (fault !== undefined && run.attempt > 0) {
    emit({type: 'task.dropped', taskId, reason: `it returns to the queue: ${fault.reason}`})
    return requeueReportOf(run, fault.reason, workerId, {began: fault.began})
  }

  if (status === 'failed' && active.stop?.requeues) {
    emit({type: 'task.dropped', taskId, reason: active.stop.error})
    return requeueReportOf(run, active.stop.error, workerId, {began: !active.stop.isUncounted})
  }

  emit({type: 'task.finished', taskId, status, ms: usage.duration_ms ?? 0, error, cost: usage.cost, usage})
  return finalReportOf(run, outcome, workerId)
}

/** Stores the report in the journal. On a full disk it stays in memory and is sent anyway. */
export function saveReport(
  run: Run,
  report: StatusUpdate,
  {journal, emit}: Pick<SuperviseRunOptions, 'journal' | 'emit'>,
): void {
  const problem = journal.saveReport(run, report)
  if (problem === undefined) return
  const text = `The report could not be written to the journal yet. It is sent anyway: ${problem}`
  emit({type: 'notice', level: 'error', taskId: run.task_id, text})
}

type Fault = {of: 'machine' | 'provider'; reason: string}

type Executed = {
  outcome: RunOutcome
  upload: Promise<Tail | undefined>
  /** Why the task could not run now. `began`: an earlier agent of the run had begun. */
  fault?: (Fault & {began: boolean}) | undefined
}

type Execution = RunSetup & {conversation: Conversation}

async function execute(
  run: Run,
  active: ActiveTask,
  setup: Execution,
  options: SuperviseRunOptions,
): Promise<Executed> {
  const {clock, uploader, disk} = options
  const startedAt = clock.monotonic()
  const ended = new AbortController()
  const agentState = {hasExited: false}
  let upload: Promise<Tail | undefined> | undefined
  // A second start of the agent continues the same spool, so the upload starts once.
  const startUpload = (from: number) =>
    (upload ??= uploader.uploadOutput(run, from, {
      isClosing: () => agentState.hasExited,
      ended: ended.signal,
      onSent: () => (active.isAcknowledged = true),
    }))
  const executed = (outcome: RunOutcome, fault?: Fault): Executed => ({
    outcome,
    upload: upload ?? Promise.resolve(undefined),
    ...(fault === undefined ? {} : {fault: {...fault, began: setup.usageBefore !== undefined}}),
  })
  if (setup.uploadFrom !== undefined) void startUpload(setup.uploadFrom)
  try {
    if (active.stop) return executed(emptyOutcome(active.stop))
    const {treeLock, conversation} = setup
    const observed = {treeLock, agentState, ended: ended.signal, startUpload, conversation}
    const observer = createRunObserver(run, active, observed, options)
    active.agent = await setup.start(observer)
    active.phase = 'running'
    conversation.attach(active.agent)
    if (active.stop) active.agent.stop(active.stop)
    const outcome = redacted(await active.agent.outcome, options)
    options.dailyCost.add(outcome.usage.cost)
    const total = setup.usageBefore ? {...outcome, usage: add(setup.usageBefore, outcome.usage)} : outcome
    return executed(total, active.stop ? undefined : await findFault(run, outcome, options))
  } catch (error) {
    if (isDiskFull(error)) disk.makeRoom() // for the report
    const reason = options.redact(failureReason(error))
    const outcome = emptyOutcome({status: 'failed', error: reason})
    const usage = {...noUsage, duration_ms: Math.round(clock.monotonic() - startedAt)}
    return executed({...outcome, usage}, isMachineFault(error) ? {of: 'machine', reason} : undefined)
  } finally {
    ended.abort()
  }
}

/** An agent that printed nothing may be broken itself. Its program is tried then, to tell that from a bad task. */
async function findFault(
  run: Run,
  {status, hasBegun, provider, usage}: RunOutcome,
  {health, providers}: Pick<SuperviseRunOptions, 'health' | 'providers'>,
): Promise<Fault | undefined> {
  if (hasBegun === true) health.reportBegin()
  const hasAnswered = usage.output > 0
  const wasKnown = providers.record({model: run.model, codebase: run.path}, {trouble: provider, hasAnswered})
  if (provider) return wasKnown && !hasAnswered ? {of: 'provider', reason: provider.message} : undefined
  if (status !== 'failed' || hasBegun !== false) return undefined
  const reason = await health.diagnose()
  return reason === undefined ? undefined : {of: 'machine', reason}
}

/** The usage of two agents of one run. */
const add = (before: RunOutcome['usage'], after: RunOutcome['usage']): RunOutcome['usage'] => ({
  ...after,
  input: before.input + after.input,
  output: before.output + after.output,
  reasoning: before.reasoning + after.reasoning,
  cache_read: before.cache_read + after.cache_read,
  cache_write: before.cache_write + after.cache_write,
  cost: before.cost + after.cost,
})

const emptyOutcome = ({status, error}: StopReason): RunOutcome => ({
  status,
  result: null,
  error,
  sessionId: null,
  usage: {...noUsage, duration_ms: 0},
})
