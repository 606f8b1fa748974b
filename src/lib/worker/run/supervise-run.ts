import type {Clock} from '../../core/clock.ts'
import {isDiskFull, failureReason} from '../../core/disk-full.ts'
import {noUsage, type RunOutcome, type StopReason} from '../../executor/executor.ts'
import type {StatusUpdate} from '../../protocol/schemas.ts'
import type {DiskMonitor} from '../disk/disk-monitor.ts'
import type {RunFolders} from '../disk/run-folders.ts'
import type {ActiveTask} from './active-task.ts'
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
}

/** Returns the function that supervises a run until its report is acknowledged. Any failure becomes its outcome. */
export const runSupervisor =
  (options: SuperviseRunOptions): SuperviseRun =>
  async (run, active, setup) => {
    const {uploader, folders} = options
    const {outcome: executed, upload} = await execute(run, active, setup, options)
    const outcome = redacted(executed, options)
    const report = reportFor(run, active, outcome, options)
    active.phase = 'reporting'
    saveReport(run, report, options)
    const tail = await upload
    // A server without attempts would let a late `running` replace the final state.
    if (run.attempt === 0) await active.sessionReported
    // Release the working tree before the report: the next offer may come before the answer.
    setup.release()
    await uploader.uploadReport(run, report, tail)
    folders.finish(run.run_dir)
  }

/** The error may quote the provider, the log or stderr, which are not redacted like the output. */
const redacted = (outcome: RunOutcome, {redact}: Pick<SuperviseRunOptions, 'redact'>): RunOutcome => ({
  ...outcome,
  error: outcome.error === null ? null : redact(outcome.error),
  ...(outcome.provider ? {provider: {...outcome.provider, message: redact(outcome.provider.message)}} : {}),
})

/** The report to send. Emits the outcome as an event. */
function reportFor(
  run: Run,
  active: ActiveTask,
  outcome: RunOutcome,
  {emit, workerId}: Pick<SuperviseRunOptions, 'emit' | 'workerId'>,
): StatusUpdate {
  const {status, error, usage} = outcome
  const taskId = run.task_id
  if (status === 'failed' && active.stop?.requeues) {
    emit({type: 'task.dropped', taskId, reason: active.stop.error})
    return requeueReportOf(run, active.stop.error, workerId)
  }

  emit({type: 'task.finished', taskId, status, ms: usage.duration_ms ?? 0, error, cost: usage.cost})
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

type Executed = {outcome: RunOutcome; upload: Promise<Tail | undefined>}

async function execute(run: Run, active: ActiveTask, setup: RunSetup, options: SuperviseRunOptions): Promise<Executed> {
  const {clock, uploader, disk} = options
  const startedAt = clock.monotonic()
  const ended = new AbortController()
  const agentState = {hasExited: false}
  let upload: Promise<Tail | undefined> | undefined
  // A second start of the agent continues the same spool, so the upload starts once.
  const startUpload = (from: number) =>
    (upload ??= uploader.uploadOutput(run, from, {isClosing: () => agentState.hasExited, ended: ended.signal}))
  const executed = (outcome: RunOutcome) => ({outcome, upload: upload ?? Promise.resolve(undefined)})
  if (setup.uploadFrom !== undefined) void startUpload(setup.uploadFrom)
  try {
    if (active.stop) return executed(emptyOutcome(active.stop))
    const {treeLock} = setup
    const observer = createRunObserver(run, active, {treeLock, agentState, ended: ended.signal, startUpload}, options)
    active.agent = await setup.start(observer)
    active.phase = 'running'
    if (active.stop) active.agent.stop(active.stop)
    const outcome = await active.agent.outcome
    return executed(setup.usageBefore ? {...outcome, usage: add(setup.usageBefore, outcome.usage)} : outcome)
  } catch (error) {
    if (isDiskFull(error)) disk.makeRoom() // for the report
    const outcome = emptyOutcome({status: 'failed', error: failureReason(error)})
    return executed({...outcome, usage: {...noUsage, duration_ms: Math.round(clock.monotonic() - startedAt)}})
  } finally {
    ended.abort()
  }
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
