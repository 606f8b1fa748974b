import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import type {ProcessIdentity} from '../../executor/processes/processes.ts'
import {endProcesses} from '../../executor/processes/kill-tree.ts'
import {mayHaveOrphans, type ScannedProcess} from '../../executor/processes/process-scan.ts'
import {bootId, isAlive, isWorkerProcess} from '../../executor/processes/processes.ts'
import {recordedGroup, type RunGroups} from '../../executor/processes/run-groups.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'
import {isMarkerOf} from '../run/marker.ts'

/** Stands for an agent whose pid is unknown. No process has this pid, so only the marker finds processes of the run. */
const unknownAgent: ProcessIdentity = {pid: 2 ** 31 - 1, startTime: '0'}

const isOfThisBoot = (run: JournalledRun) => run.boot_id === (bootId() ?? '')

/** The agent of a run, if it is alive. Between its start and its journal row only the marker identifies it. */
export function findAgent(run: JournalledRun, processes: readonly ScannedProcess[]): ProcessIdentity | undefined {
  if (!isOfThisBoot(run)) return undefined
  const marked = processes.filter(({marker}) => marker === run.marker)
  if (run.pid !== null) {
    const known = {pid: run.pid, startTime: run.start_time ?? ''}
    return isAlive(known) && marked.some(({pid}) => pid === known.pid) ? known : undefined
  }

  // All descendants carry the marker too, but they started later.
  const oldest = marked.toSorted((a, b) => Number(a.startTime) - Number(b.startTime) || a.pid - b.pid)[0]
  return oldest && {pid: oldest.pid, startTime: oldest.startTime}
}

/** Whether another worker looks after a process, for example one with a copy of this state directory in a container. */
const hasWorker = ({parent}: ScannedProcess) => isWorkerProcess(parent)

const warn = (emit: Emit, text: string, processes: readonly ScannedProcess[]) =>
  emit({type: 'notice', level: 'warn', text: `${text}: ${processes.map(({pid}) => pid).join(', ')}`})

export type OrphanReaper = {
  /** Ends processes with a marker of this worker whose run is not in the journal. Nobody else would end them. */
  endUnknown: (runs: readonly JournalledRun[], processes: readonly ScannedProcess[]) => void
  /** Ends what is left of a run whose agent is not alive. */
  endOrphansOf: (run: JournalledRun, processes: readonly ScannedProcess[]) => Promise<void>
}

type OrphanReaperOptions = {
  config: Config
  clock: Clock
  emit: Emit
  markerOwner: string
  groups: RunGroups | undefined
}

export const orphanReaper = ({config, clock, emit, markerOwner, groups}: OrphanReaperOptions): OrphanReaper => ({
  endUnknown(runs, processes) {
    const graceMs = config.cancel_grace * 1000
    const known = new Set(runs.map(({marker}) => marker))
    for (const [marker, seen] of Map.groupBy(processes, (process) => process.marker)) {
      if (marker === undefined || !isMarkerOf(markerOwner, marker) || known.has(marker)) continue
      if (seen.some(hasWorker)) continue
      warn(emit, `Ending processes of an unknown run (${marker})`, seen)
      void endProcesses({root: unknownAgent, marker, runDir: '/nowhere', seen, graceMs, clock})
    }
    for (const group of groups?.unknown(markerOwner, [...known]) ?? []) {
      const pids = new Set(group.pids())
      const seen = processes.filter(({pid}) => pids.has(pid))
      if (seen.some(hasWorker)) continue
      if (pids.size > 0) warn(emit, `Ending processes of an unknown run (control group ${group.path})`, seen)
      const ended = endProcesses({root: unknownAgent, marker: '', runDir: '/nowhere', seen, graceMs, clock, group})
      void ended.then(() => group.remove())
    }
  },

  async endOrphansOf(run, processes) {
    const {marker, run_dir: runDir} = run
    const pid = isOfThisBoot(run) ? run.pid : null
    if (!mayHaveOrphans({pid, marker, runDir}, processes)) return
    const root = pid === null ? unknownAgent : {pid, startTime: run.start_time ?? ''}
    const group = recordedGroup(marker, runDir)
    const left = await endProcesses({root, marker, runDir, seen: [], graceMs: config.cancel_grace * 1000, clock, group})
    group?.remove()
    if (left.length === 0) return
    const pids = left.map((process) => process.pid).join(', ')
    emit({type: 'notice', level: 'warn', taskId: run.task_id, text: `processes that cannot be ended: ${pids}`})
  },
})
