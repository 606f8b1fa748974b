import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import type {Emit} from '../events/bus.ts'
import {runFiles, type ProcessIdentity} from '../executor/executor.ts'
import {endProcesses} from '../executor/kill-tree.ts'
import {bootId} from '../executor/processes.ts'
import {readTail} from '../executor/stderr-tail.ts'
import type {JournalledRun, Journal} from '../journal/journal.ts'
import {readFact} from '../opencode/events.ts'
import {lineSplitter} from '../opencode/line-splitter.ts'
import {RunRecord} from '../opencode/record.ts'
import {judge} from '../opencode/verdict.ts'
import {parseJson} from '../protocol/parse.ts'
import type {StatusUpdate} from '../protocol/schemas.ts'
import type {Delivery} from './delivery.ts'
import type {TaskRunner} from './task-runner.ts'

export type RecoveryParts = {
  journal: Journal
  delivery: Delivery
  runner: TaskRunner
  clock: Clock
  emit: Emit
  workerId: string
  graceMs: number
}

/**
 * Finishes what an earlier process of this worker left: whatever of its agents still runs is ended, so that nothing
 * works unwatched; the run is judged by what it printed; the rest of its output and its report are delivered. Call
 * before the first heartbeat, so that these tasks count as held.
 */
export async function recover(parts: RecoveryParts): Promise<void> {
  const {journal, runner, clock, emit} = parts
  for (const run of journal.unfinished()) {
    emit({
      type: 'notice',
      level: 'info',
      taskId: run.task_id,
      text: `Finishing a run that an earlier process of this worker left (${run.title})`,
    })
    const report = await settle(run, parts)
    const done = deliver(run, report, parts)
    runner.adopt({
      id: run.task_id,
      title: run.title,
      attempt: run.attempt,
      codebase: run.path,
      phase: 'reporting',
      since: clock.now(),
      sessionId: run.session_id,
      done,
    })
  }
}

/** Stands for an agent whose pid is not known: no process has this one, so the marker alone finds what there is. */
const neverStarted: ProcessIdentity = {pid: 2 ** 31 - 1, startTime: '0'}

/** The report of a run: the frozen one, else what its events say now that nothing of it runs any more. */
async function settle(
  run: JournalledRun,
  {journal, clock, workerId, graceMs, emit}: RecoveryParts,
): Promise<StatusUpdate> {
  const sameBoot = run.boot_id === (bootId() ?? '')
  const root = sameBoot && run.pid !== null ? {pid: run.pid, startTime: run.start_time ?? ''} : neverStarted
  const traces = {root, marker: run.marker, tmpDir: join(run.run_dir, runFiles.tmp), seen: []}
  const left = await endProcesses({...traces, graceMs, clock})
  if (left.length > 0)
    emit({
      type: 'notice',
      level: 'warn',
      taskId: run.task_id,
      text: `processes that cannot be ended: ${left.map(({pid}) => pid).join(', ')}`,
    })
  const frozen = run.report === null ? undefined : parseJson(run.report)
  if (frozen) return frozen as StatusUpdate
  const record = readSpool(run)
  const verdict = judge({
    record,
    exit: undefined,
    stderr: readTail(join(run.run_dir, runFiles.stderr), 0),
    stop: record.finished
      ? undefined
      : {
          status: 'failed',
          error: 'the worker was killed while the task ran; what the agent did until then stays in the codebase',
        },
    model: undefined,
    isDiskFull: false,
  })
  const report: StatusUpdate = {
    status: verdict.status,
    worker_id: workerId,
    result: record.result,
    error: verdict.error,
    session_id: record.sessionId,
    usage: {...record.usage, model: null, duration_ms: null},
    ...(run.attempt > 0 ? {attempt: run.attempt} : {}),
  }
  journal.freeze(run, report)
  return report
}

function readSpool(run: JournalledRun): RunRecord {
  const record = new RunRecord()
  const lines = lineSplitter((line) => record.add(readFact(line)))
  try {
    lines.push(readFileSync(join(run.run_dir, runFiles.stdout)))
  } catch {
    // It was never started: there is no spool.
  }

  lines.end()
  return record
}

async function deliver(run: JournalledRun, report: StatusUpdate, {delivery, journal}: RecoveryParts): Promise<void> {
  const ended = AbortSignal.abort()
  try {
    await delivery.output(run, run.cursor, {isClosing: () => true, ended})
    await delivery.report(run, report)
  } catch {
    journal.done(run)
  }
}
