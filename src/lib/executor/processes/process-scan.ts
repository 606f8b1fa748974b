import {join} from 'node:path'
import {realPathOf} from '../../core/paths/real-path.ts'
import {runFiles} from '../spool/file-names.ts'
import {outputFilesOf, hasProc, isBelow, linkOf, listProcesses, markerOf, type ProcessInfo} from './processes.ts'
import {recordedGroup} from './run-groups.ts'

/** A process with everything that identifies its run. */
export type ScannedProcess = ProcessInfo & {marker: string | undefined; cwd: string; outputFiles: string[]}

/** Scans all processes once for many runs. A scan per run would cost seconds of CPU time. */
export const scanProcesses = (): ScannedProcess[] =>
  listProcesses().map((info) => ({
    ...info,
    marker: markerOf(info.pid),
    cwd: linkOf(info.pid, 'cwd'),
    outputFiles: outputFilesOf(info.pid),
  }))

type DeadRun = {pid: number | null; marker: string; runDir: string}

/**
 * Whether a run whose agent is not alive may have orphans. A process without any of these signs could only be found by a
 * parent that has one. So if no process has a sign, there is nothing to look for.
 */
export function mayHaveOrphans({pid, marker, runDir}: DeadRun, processes: readonly ScannedProcess[]): boolean {
  if (!hasProc) return true
  if ((recordedGroup(marker, runDir)?.pids() ?? []).length > 0) return true
  const folder = realPathOf(runDir)
  return processes.some(
    (process) =>
      process.marker === marker ||
      (pid !== null && (process.pid === pid || process.group === pid)) ||
      isBelow(process.cwd, join(folder, runFiles.tmp)) ||
      process.outputFiles.some((file) => isBelow(file, folder)),
  )
}
