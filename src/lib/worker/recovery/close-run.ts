import * as v from 'valibot'
import type {Emit} from '../../events/bus.ts'
import type {Journal} from '../../journal/journal.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'
import {isFinal, usageSchema, type FinalStatus, type StatusUpdate} from '../../protocol/schemas.ts'
import type {RunFolders} from '../disk/run-folders.ts'
import {finalReportOf, requeueReportOf} from '../run/reports.ts'
import type {RunUploader} from '../run/run-uploader.ts'
import {saveReport} from '../run/supervise-run.ts'
import {hasSpool, judgeRun, uploadCursor} from './inspect-run.ts'
import type {Plan} from './plan.ts'

type CloseRunOptions = {journal: Journal; uploader: RunUploader; emit: Emit; folders: RunFolders; workerId: string}

/** Reports a run whose agent is not alive, according to the plan. */
export type CloseRun = (run: JournalledRun, plan: Exclude<Plan, {do: 'resume'}>) => Promise<void>

export const runCloser =
  (options: CloseRunOptions): CloseRun =>
  async (run, plan) => {
    const {journal, workerId} = options
    switch (plan.do) {
      case 'report':
        return await uploadRun(run, plan.report, options)
      case 'judge': {
        const report = finalReportOf(run, judgeRun(run, plan.record, plan.error), workerId)
        saveReport(run, report, options)
        return await uploadRun(run, report, options)
      }
      case 'requeue': {
        const report = requeueReportOf(run, plan.reason, workerId)
        journal.saveReport(run, report)
        return await uploadRun(run, report, options)
      }
    }
  }

/** Nothing more is written to the spool. */
const ended = AbortSignal.abort()

async function uploadRun(run: JournalledRun, report: StatusUpdate, options: CloseRunOptions): Promise<void> {
  const {uploader, emit, folders} = options
  if (isFinal(report.status)) emit({type: 'task.finished', taskId: run.task_id, ...summaryOf(report, report.status)})
  // The last output goes together with the final report.
  const end = {isClosing: () => isFinal(report.status), ended}
  const tail = hasSpool(run) ? await uploader.uploadOutput(run, uploadCursor(run), end) : undefined
  await uploader.uploadReport(run, report, tail)
  folders.finish(run.run_dir)
  if (!isFinal(report.status)) emit({type: 'task.dropped', taskId: run.task_id, reason: 'it was given back'})
}

const summaryOf = ({usage, error}: StatusUpdate, status: FinalStatus) => ({
  status,
  ms: usage?.duration_ms ?? 0,
  error: error ?? null,
  cost: usage?.cost ?? 0,
  ...(usage ? {usage: v.parse(usageSchema, usage)} : {}),
})
