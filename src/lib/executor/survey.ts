import {readlinkSync} from 'node:fs'
import {hasProc, listProcesses, markerOf, type ProcessInfo} from './processes.ts'

/** A process with what tells whose it is. */
export type SurveyedProcess = ProcessInfo & {marker: string | undefined; cwd: string}

/** All processes as they are now, looked at once for many runs: to list them for each would cost a worker seconds. */
export const survey = (): SurveyedProcess[] =>
  listProcesses().map((info) => ({...info, marker: markerOf(info.pid), cwd: cwdOf(info.pid)}))

type Left = {pid: number | null; marker: string; tmpDir: string}

/**
 * Whether there may be something of a run whose agent has gone. No: then there is nothing to look for, since what had
 * none of these signs could only be told by a parent that has.
 */
export const mayHaveLeft = ({pid, marker, tmpDir}: Left, processes: readonly SurveyedProcess[]): boolean =>
  !hasProc ||
  processes.some(
    (process) =>
      process.marker === marker ||
      (pid !== null && (process.pid === pid || process.group === pid)) ||
      `${process.cwd}/`.startsWith(`${tmpDir}/`),
  )

function cwdOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return '' // it has ended, or is another user's
  }
}
