import {join} from 'node:path'
import {runFiles} from './executor.ts'
import {filesOf, hasProc, isBelow, linkOf, listProcesses, markerOf, realPathOf, type ProcessInfo} from './processes.ts'

/** A process with what tells whose it is. */
export type ScannedProcess = ProcessInfo & {marker: string | undefined; cwd: string; prints: string[]}

/** All processes as they are now, looked at once for many runs: to list them for each would cost a worker seconds. */
export const scanProcesses = (): ScannedProcess[] =>
  listProcesses().map((info) => ({
    ...info,
    marker: markerOf(info.pid),
    cwd: linkOf(info.pid, 'cwd'),
    prints: filesOf(info.pid),
  }))

type Left = {pid: number | null; marker: string; runDir: string}

/**
 * Whether there may be something of a run whose agent has gone. No: then there is nothing to look for, since what had
 * none of these signs could only be told by a parent that has.
 */
export function mayHaveOrphans({pid, marker, runDir}: Left, processes: readonly ScannedProcess[]): boolean {
  if (!hasProc) return true
  const folder = realPathOf(runDir)
  return processes.some(
    (process) =>
      process.marker === marker ||
      (pid !== null && (process.pid === pid || process.group === pid)) ||
      isBelow(process.cwd, join(folder, runFiles.tmp)) ||
      process.prints.some((file) => isBelow(file, folder)),
  )
}
