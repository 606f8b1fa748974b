import {join} from 'node:path'
import {readIfThere} from '../../core/paths/read-if-there.ts'
import {agentDirOf} from '../../executor/acp/complete-events.ts'
import {runFiles} from '../../executor/spool/file-names.ts'
import type {ScannedProcess} from '../../executor/processes/process-scan.ts'
import {bootId, isAlive, type ProcessIdentity} from '../../executor/processes/processes.ts'
import {recordedGroup, type RunGroup} from '../../executor/processes/run-groups.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'

export const isOfThisBoot = (run: JournalledRun) => run.boot_id === (bootId() ?? '')

/** The agent of a run, if it is alive. Between its start and its journal row only the marker identifies it. */
export function findAgent(run: JournalledRun, processes: readonly ScannedProcess[]): ProcessIdentity | undefined {
  if (!isOfThisBoot(run)) return undefined
  const group = recordedGroup(run.marker, agentDirOf(run.run_dir))
  if (group) return agentIn(group, run, processes)
  const marked = processes.filter(({marker}) => marker === run.marker)
  if (run.pid !== null) {
    const known = {pid: run.pid, startTime: run.start_time ?? ''}
    return isAlive(known) && marked.some(({pid}) => pid === known.pid) ? known : undefined
  }

  // All descendants carry the marker too, but they started later.
  const [oldest] = marked.toSorted((a, b) => Number(a.startTime) - Number(b.startTime) || a.pid - b.pid)
  return oldest && {pid: oldest.pid, startTime: oldest.startTime}
}

/** Nothing but the run enters its control group, so the group proves the agent, also where /proc hides it. */
function agentIn(
  group: RunGroup,
  run: JournalledRun,
  processes: readonly ScannedProcess[],
): ProcessIdentity | undefined {
  // The worker may have been killed before it wrote its journal row.
  const pid = run.pid ?? Number(readIfThere(join(agentDirOf(run.run_dir), runFiles.pid)))
  if (!group.pids().includes(pid)) return undefined
  const startTime = run.start_time ?? processes.find((process) => process.pid === pid)?.startTime
  if (!startTime) return {pid, startTime: '', cgroup: group.path}
  return isAlive({pid, startTime}) ? {pid, startTime} : undefined
}
