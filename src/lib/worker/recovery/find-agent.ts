import type {ScannedProcess} from '../../executor/processes/process-scan.ts'
import {bootId, isAlive, type ProcessIdentity} from '../../executor/processes/processes.ts'
import {recordedGroup, type RunGroup} from '../../executor/processes/run-groups.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'

export const isOfThisBoot = (run: JournalledRun) => run.boot_id === (bootId() ?? '')

/** The agent of a run, if it is alive. Between its start and its journal row only the marker identifies it. */
export function findAgent(run: JournalledRun, processes: readonly ScannedProcess[]): ProcessIdentity | undefined {
  if (!isOfThisBoot(run)) return undefined
  const group = recordedGroup(run.marker, run.run_dir)
  if (group) return agentIn(group, run, processes)
  const marked = processes.filter(({marker}) => marker === run.marker)
  if (run.pid !== null) {
    const known = {pid: run.pid, startTime: run.start_time ?? ''}
    return isAlive(known) && marked.some(({pid}) => pid === known.pid) ? known : undefined
  }

  // All descendants carry the marker too, but they started later.
  return oldestOf(marked)
}

/** Nothing but the run enters its control group, so the group proves the agent, also where /proc hides it. */
function agentIn(
  group: RunGroup,
  run: JournalledRun,
  processes: readonly ScannedProcess[],
): ProcessIdentity | undefined {
  const pids = group.pids()
  const hidden = (pid: number) => ({pid, startTime: '', cgroup: group.path})
  if (run.pid !== null) {
    const known = run.start_time ? {pid: run.pid, startTime: run.start_time} : hidden(run.pid)
    return pids.includes(run.pid) && isAlive(known) ? known : undefined
  }

  const oldest = oldestOf(processes.filter(({pid}) => pids.includes(pid)))
  return oldest ?? pids.slice(0, 1).map(hidden)[0]
}

function oldestOf(processes: readonly ScannedProcess[]): ProcessIdentity | undefined {
  const [oldest] = processes.toSorted((a, b) => Number(a.startTime) - Number(b.startTime) || a.pid - b.pid)
  return oldest && {pid: oldest.pid, startTime: oldest.startTime}
}
