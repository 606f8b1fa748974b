import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import type {RunningAgent, RunObserver, StopReason} from '../../executor/executor.ts'
import {bootId} from '../../executor/processes/processes.ts'
import type {Journal} from '../../journal/journal.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Admission} from '../admission/admission.ts'
import {modelOf} from '../admission/policy.ts'
import type {RunFolders} from '../disk/run-folders.ts'
import type {Registration} from '../registration/registration.ts'
import type {ActiveTask} from './active-task.ts'
import type {Claimed} from '../claim/claim.ts'
import type {Confirmation} from '../claim/confirm.ts'
import type {Preparation, PrepareRun} from './prepare-run.ts'
import {startsUnconfirmed, stopReasonOf, untilStarted} from './run-assigned.ts'
import type {OfferedResources, SuperviseRun} from './run-setup.ts'

/** Resolves with whether the task was ours and has been reported. Rejects only for a bug. */
export type RunTask = (offered: Task, active: ActiveTask, resources: OfferedResources) => Promise<boolean>

export type RunTaskOptions = {
  claim: (offered: Task) => Promise<Claimed>
  /** Confirms an assignment that arrived at this time, in monotonic ms. */
  confirm: (assigned: Task, receivedAt: number, ended?: AbortSignal) => Promise<Confirmation>
  /** Stops this run. Does nothing once it is reported, or another attempt of the task is active. */
  stop: (active: ActiveTask, reason: StopReason) => void
  /** Returns a task to the queue that was never begun. Best effort: otherwise its assignment lapses. */
  giveBack: (task: Task, reason: string) => void
  admission: Pick<Admission, 'needsClaim'>
  prepare: PrepareRun
  supervise: SuperviseRun
  journal: Journal
  folders: RunFolders
  registration: Pick<Registration, 'has' | 'lastHeartbeatAt'>
  clock: Clock
  emit: Emit
}

/** Returns the function that runs a task from its offer or assignment to its acknowledged report. */
export const taskRun =
  (options: RunTaskOptions): RunTask =>
  async (offered, active, resources) => {
    const {clock, admission} = options
    const age = clock.monotonic() - resources.receivedAt
    const isAtOnce = offered.status === 'assigned' && !admission.needsClaim && startsUnconfirmed(offered, active, age)
    return await (isAtOnce ? runAtOnce : runClaimed)(offered, active, resources, options)
  }

type Run = (offered: Task, active: ActiveTask, resources: OfferedResources, options: RunTaskOptions) => Promise<boolean>

/** Runs an assignment. It is confirmed beside the start, and ends if that is refused or comes too late. */
const runAtOnce: Run = async (task, active, {receivedAt, ...resources}, options) => {
  const {confirm, stop, emit, clock, prepare, supervise, registration} = options
  emit({type: 'task.claimed', taskId: active.id, attempt: task.attempt})
  active.phase = 'starting'
  const started = untilStarted((ms) => clock.sleep(ms))
  const ended = new AbortController()
  void started
    .done()
    .then(() => confirm(task, receivedAt, ended.signal))
    .then((confirmation) => {
      if (ended.signal.aborted) return // its report has confirmed it, or was refused
      const isKnown = active.isAcknowledged || registration.lastHeartbeatAt > active.heldSince
      const reason = stopReasonOf(confirmation, isKnown)
      if (reason) stop(active, reason)
    })
  const preparation = await prepare(task, active)
  const {run, start} = beginning(task, active, preparation, options)
  await supervise(run, active, {...resources, start: started.watch(start)}).finally(() => ended.abort('over'))
  return true
}

/** Claims a task, or confirms its assignment, and runs it then. What needs no claim is prepared meanwhile. */
const runClaimed: Run = async (offered, active, {receivedAt, ...resources}, options) => {
  const {claim, confirm, admission, prepare, supervise, folders, registration, emit, giveBack} = options
  // An offer of our own control plane is complete. The run can be prepared while the claim is on its way.
  const isComplete = registration.has('claim-task') && offered.attempt > 0 && offered.prompt !== ''
  const early = isComplete && !admission.needsClaim ? prepare(offered, active) : undefined
  const isAssigned = offered.status === 'assigned' && offered.prompt !== ''
  const claimed = isAssigned ? claimedBy(offered, await confirm(offered, receivedAt)) : await claim(offered)
  if ('dropped' in claimed) {
    if (isAssigned) giveBack(offered, claimed.dropped)
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
  const {run, start} = beginning(task, active, preparation, options)
  await supervise(run, active, {...resources, start})
  return true
}

/** An assignment that was confirmed is a claimed task. */
function claimedBy(task: Task, confirmation: Confirmation): Claimed {
  if (confirmation === 'confirmed') return {task: {...task, status: 'running'}}
  return {dropped: 'lost' in confirmation ? confirmation.lost : confirmation.late}
}

/** The run as the journal records it, and the function that starts its agent. */
function beginning(task: Task, active: ActiveTask, preparation: Preparation, {journal, clock}: RunTaskOptions) {
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
  return {run, start: starter(preparation, record)}
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
