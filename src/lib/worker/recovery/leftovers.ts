import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import type {ProcessIdentity} from '../../executor/executor.ts'
import {endProcesses} from '../../executor/kill-tree.ts'
import {bootId, isAlive} from '../../executor/processes.ts'
import {mayHaveLeft, type SurveyedProcess} from '../../executor/survey.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'

type Parts = {config: Config; clock: Clock; emit: Emit; workerId: string}

/** Stands for an agent whose pid is not known: no process has this one, so the marker alone finds what there is. */
const neverStarted: ProcessIdentity = {pid: 2 ** 31 - 1, startTime: '0'}

const isOfThisBoot = (run: JournalledRun) => run.boot_id === (bootId() ?? '')

/** The agent itself, if it is this boot's and alive. Between its start and its row only the marker tells of it. */
export function liveAgent(run: JournalledRun, processes: readonly SurveyedProcess[]): ProcessIdentity | undefined {
  if (!isOfThisBoot(run)) return undefined
  const marked = processes.filter(({marker}) => marker === run.marker)
  if (run.pid !== null) {
    const known = {pid: run.pid, startTime: run.start_time ?? ''}
    return isAlive(known) && marked.some(({pid}) => pid === known.pid) ? known : undefined
  }

  // All its descendants carry the marker too, and began later.
  const eldest = marked.toSorted((a, b) => Number(a.startTime) - Number(b.startTime) || a.pid - b.pid)[0]
  return eldest && {pid: eldest.pid, startTime: eldest.startTime}
}

/** Ends what carries a marker of this worker whose run is not in the journal any more: nobody would ever look after it. */
export function sweep(runs: readonly JournalledRun[], processes: readonly SurveyedProcess[], parts: Parts): void {
  const {workerId, config, clock, emit} = parts
  const known = new Set(runs.map(({marker}) => marker))
  for (const [marker, seen] of Map.groupBy(processes, (process) => process.marker)) {
    if (marker === undefined || !marker.startsWith(`${workerId}:`) || known.has(marker)) continue
    const pids = seen.map(({pid}) => pid).join(', ')
    emit({type: 'notice', level: 'warn', text: `Ending what an unknown run has left (${marker}): ${pids}`})
    const graceMs = config.cancel_grace * 1000
    void endProcesses({root: neverStarted, marker, runDir: '/nowhere', seen, graceMs, clock})
  }
}

/** Whatever of the run is alive, without its agent: nothing works unwatched. */
export async function endLeftovers(
  run: JournalledRun,
  processes: readonly SurveyedProcess[],
  {config, clock, emit}: Parts,
): Promise<void> {
  const {marker, run_dir: runDir} = run
  const pid = isOfThisBoot(run) ? run.pid : null
  if (!mayHaveLeft({pid, marker, runDir}, processes)) return
  const root = pid === null ? neverStarted : {pid, startTime: run.start_time ?? ''}
  const left = await endProcesses({root, marker, runDir, seen: [], graceMs: config.cancel_grace * 1000, clock})
  if (left.length === 0) return
  const pids = left.map((process) => process.pid).join(', ')
  emit({type: 'notice', level: 'warn', taskId: run.task_id, text: `processes that cannot be ended: ${pids}`})
}
