import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import type {ProcessIdentity} from '../../executor/processes/processes.ts'
import {endProcesses} from '../../executor/processes/kill-tree.ts'
import {mayHaveOrphans, type ScannedProcess} from '../../executor/processes/process-scan.ts'
import {isWorkerProcess} from '../../executor/processes/processes.ts'
import {removeFolderOfUser} from '../../executor/processes/user-folder.ts'
import {agentDirOf} from '../../executor/acp/complete-events.ts'
import {recordedGroup, type RunGroups} from '../../executor/processes/run-groups.ts'
import type {AgentUser} from '../../opencode/program/agent-user.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'
import {isOfThisBoot} from './find-agent.ts'
import {isMarkerOf} from '../run/marker.ts'

/** Stands for an agent whose pid is unknown. No process has this pid, so only the marker finds processes of the run. */
const unknownAgent: ProcessIdentity = {pid: 2 ** 31 - 1, startTime: '0'}

/** Whether another worker looks after a process, for example one with a copy of this state directory in a container. */
const hasWorker = ({parent}: ScannedProcess) => isWorkerProcess(parent)

const warn = (emit: Emit, text: string, pids: readonly number[]) =>
  emit({type: 'notice', level: 'warn', text: `${text}: ${pids.join(', ')}`})

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
  user: AgentUser | undefined
}

export const orphanReaper = ({config, clock, emit, markerOwner, groups, user}: OrphanReaperOptions): OrphanReaper => ({
  endUnknown(runs, processes) {
    const graceMs = config.cancel_grace * 1000
    const known = new Set(runs.map(({marker}) => marker))
    for (const [marker, seen] of Map.groupBy(processes, (process) => process.marker)) {
      if (marker === undefined || !isMarkerOf(markerOwner, marker) || known.has(marker)) continue
      if (seen.some(hasWorker)) continue
      warn(
        emit,
        `Ending processes of an unknown run (${marker})`,
        seen.map(({pid}) => pid),
      )
      void endProcesses({root: unknownAgent, marker, runDir: '/nowhere', seen, graceMs, clock})
    }
    for (const group of groups?.unknown(markerOwner, [...known]) ?? []) {
      const pids = new Set(group.pids())
      const seen = processes.filter(({pid}) => pids.has(pid))
      if (seen.some(hasWorker)) continue
      if (pids.size > 0) warn(emit, `Ending processes of an unknown run (control group ${group.path})`, [...pids])
      const ended = endProcesses({
        root: unknownAgent,
        marker: '',
        runDir: '/nowhere',
        seen,
        graceMs,
        clock,
        group,
        user,
      })
      void ended.then(() => group.remove())
    }
  },

  async endOrphansOf(run, processes) {
    const {marker} = run
    const runDir = agentDirOf(run.run_dir)
    const pid = isOfThisBoot(run) ? run.pid : null
    if (!mayHaveOrphans({pid, marker, runDir}, processes)) return
    const root = pid === null ? unknownAgent : {pid, startTime: run.start_time ?? ''}
    const group = recordedGroup(marker, runDir)
    const left = await endProcesses({
      root,
      marker,
      runDir,
      seen: [],
      graceMs: config.cancel_grace * 1000,
      clock,
      group,
      user,
    })
    group?.remove()
    if (user) removeFolderOfUser(user, marker)
    if (left.length === 0) return
    const pids = left.map((process) => process.pid).join(', ')
    emit({type: 'notice', level: 'warn', taskId: run.task_id, text: `processes that cannot be ended: ${pids}`})
  },
})
