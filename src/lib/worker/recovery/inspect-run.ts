import {closeSync, existsSync, fstatSync, openSync, readSync, statSync} from 'node:fs'
import {join} from 'node:path'
import {setImmediate as nextTurn} from 'node:timers/promises'
import * as v from 'valibot'
import {isFullNow} from '../../core/disk-full.ts'
import type {RunOutcome} from '../../executor/executor.ts'
import {completeEvents, programNameOf} from '../../executor/acp/complete-events.ts'
import {runFiles} from '../../executor/spool/file-names.ts'
import {readTail} from '../../executor/spool/read-tail.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'
import {readFact, redactFact} from '../../opencode/output/events.ts'
import {lineSplitter} from '../../opencode/output/line-splitter.ts'
import {RunRecord} from '../../opencode/output/record.ts'
import {judge} from '../../opencode/output/verdict.ts'
import {parseJson} from '../../protocol/parse.ts'
import {isFinal, statusUpdateSchema, type StatusUpdate} from '../../protocol/schemas.ts'

const pieceBytes = 64 * 1024

/** The saved report of a run. Undefined if there is none that a control plane would accept: the run is judged again. */
export function savedReport({report}: Pick<JournalledRun, 'report'>): StatusUpdate | undefined {
  const parsed = report === null ? undefined : v.safeParse(statusUpdateSchema, parseJson(report))
  if (!parsed?.success) return undefined
  const {status} = parsed.output
  return isFinal(status) || status === 'pending' ? parsed.output : undefined
}

/** Reads what the run printed. A spool may have gigabytes, so each piece is followed by a turn of the event loop. */
export async function readSpool(
  {run_dir: folder}: JournalledRun,
  redact: (text: string) => string = (text) => text,
): Promise<RunRecord> {
  await completeEvents(folder)
  const record = new RunRecord()
  const lines = lineSplitter((line) => record.add(redactFact(readFact(line), redact)))
  const file = openSpool(join(folder, runFiles.stdout))
  if (file === undefined) return record
  try {
    const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, fstatSync(file).size + 1))
    for (let filled = buffer.length; filled === buffer.length;) {
      filled = readSync(file, buffer)
      lines.push(buffer.subarray(0, filled))
      if (filled === buffer.length) await nextTurn()
    }
  } finally {
    closeSync(file)
  }

  lines.end()
  return record
}

/** Undefined if there is no spool: the agent was never started. */
function openSpool(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch {
    return undefined
  }
}

/** Whether the run printed anything that could be uploaded. */
export const hasSpool = ({run_dir: folder}: JournalledRun) => existsSync(join(folder, runFiles.stdout))

/** Where the upload continues. A cursor beyond the end of the spool is damaged: the upload starts over. */
export function uploadCursor({run_dir: folder, cursor}: JournalledRun): number {
  const size = statSync(join(folder, runFiles.stdout), {throwIfNoEntry: false})?.size ?? 0
  return cursor > size ? 0 : cursor
}

/** The outcome of a run whose agent is not alive. `error` is the reason of failure for a run that was not finished. */
export function judgeRun(run: JournalledRun, record: RunRecord, error: string): RunOutcome {
  const verdict = judge({
    record,
    exit: undefined,
    stderr: readTail(join(run.run_dir, runFiles.stderr), 0),
    stop: record.finished ? undefined : {status: 'failed', error},
    model: run.model ?? undefined,
    name: programNameOf(run.run_dir),
    isDiskFull: !record.finished && isFullNow(run.run_dir),
  })
  const usage = {...record.usage, model: run.model, duration_ms: null}
  return {...verdict, result: record.result, sessionId: record.sessionId, usage}
}
