import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import type {RunningAgent, RunObserver} from '../../executor/executor.ts'
import {bootId} from '../../executor/processes/processes.ts'
import type {Journal} from '../../journal/journal.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Admission} from '../admission/admission.ts'
import {modelOf} from '../admission/policy.ts'
import type {RunFolders} from '../disk/run-folders.ts'
import type {Registration} from '../registration/registration.ts'
import type {ActiveTask} from './active-task.ts'
import type {Claimed} from './claim.ts'
import type {Preparation, PrepareRun} from './prepare-run.ts'
import type {SuperviseRun, TaskResources} from './run-setup.ts'

/** Resolves with whether the task was ours and has been reported. Rejects only for a bug. */
export type RunTask = (offered: Task, active: ActiveTask, resources: TaskResources) => Promise<boolean>

export type RunTaskOptions = {
  claim: (offered: Task) => Promise<Claimed>
  admission: Pick<Admission, 'needsClaim'>
  prepare: PrepareRun
  supervise: SuperviseRun
  journal: Journal
  folders: RunFolders
  registration: Pick<Registration, 'has'>
  clock: Clock
  emit: Emit
}

/** Returns the function that runs a task from its claim to its acknowledged report. */
export const taskRun =
  ({claim, admission, prepare, supervise, journal, folders, registration, clock, emit}: RunTaskOptions): RunTask =>
  async (offered, active, resources) => {
    // An offer of our own control plane is complete. The run can be prepared while the claim is on its way.
    const isComplete = registration.has('claim-task') && offered.attempt > 0 && offered.prompt !== ''
    const early = isComplete && !admission.needsClaim ? prepare(offered, active) : undefined
    const claimed = await claim(offered)
    if ('dropped' in claimed) {
      emit({type: 'task.dropped', taskId: active.id, reason: claimed.dropped})
      discard(await early, folders)
      return false
    }

    const {task} = claimed
    emit({type: 'task.claimed', taskId: active.id, attempt: task.attempt})
    active.attempt = task.attempt
    active.phase = 'starting'
    const isSame = task.attempt === offered.attempt
    const preparation = await ((isSame && early) || prepare(task, active))
    const {marker, runDir: run_dir} = preparation
    const run = {
      task_id: task.id,
      attempt: task.attempt,
      returns: task.returns,
      run_dir,
      title: task.title,
      agent: task.agent_type,
      path: active.codebase,
      model: modelOf(task) ?? null,
    }
    const record = () =>
      journal.begin({
        ...run,
        marker,
        boot_id: bootId() ?? '',
        codebase_id: task.codebase_id,
        started_at: clock.now(),
      })
    await supervise(run, active, {...resources, start: starter(preparation, record)})
    return true
  }

/** Writes the journal row before the agent starts. Without the row nobody would find the agent after a crash. */
function starter(preparation: Preparation, record: () => void): (observer: RunObserver) => Promise<RunningAgent> {
  try {
    record()
  } catch (error) {
    return async () => {
      throw error
    }
  }

  return async (observer) => {
    if ('problem' in preparation) throw preparation.problem
    return await preparation.ready.start(observer)
  }
}

function discard(preparation: Preparation | undefined, folders: RunFolders): void {
  if (!preparation) return
  if ('ready' in preparation) preparation.ready.discard()
  folders.discard(preparation.runDir)
}
