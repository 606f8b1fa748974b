import type {Clock} from '../../core/clock.ts'
import type {limiter} from '../../core/limiter.ts'
import type {Emit} from '../../events/bus.ts'
import type {ProcessIdentity} from '../../executor/processes/processes.ts'
import type {ScannedProcess} from '../../executor/processes/process-scan.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'
import {limits} from '../../protocol/limits.ts'
import {globalCodebase} from '../../protocol/routes.ts'
import type {Lock} from '../locks/lock-file.ts'
import type {WorkingTreeLocks} from '../locks/working-tree-locks.ts'
import type {ActiveTask} from '../run/active-task.ts'
import type {ClearLeftLocks} from '../run/left-locks.ts'
import type {SuperviseRun} from '../run/run-setup.ts'
import type {Slot} from '../run/slots.ts'
import type {TaskRunner} from '../run/task-runner.ts'
import type {CloseRun} from './close-run.ts'
import type {AgentContinuation} from './agent-continuation.ts'
import {savedReport, uploadCursor} from './inspect-run.ts'
import {findAgent} from './find-agent.ts'
import {type OrphanReaper} from './orphans.ts'
import type {Plan, PlanRun} from './plan.ts'

/** What one run needs from the whole recovery. */
export type RecoveryPass = {processes: readonly ScannedProcess[]; limit: ReturnType<typeof limiter>}

export type RecoverRun = (run: JournalledRun, pass: RecoveryPass) => void

export type RecoverRunOptions = FinishOptions & {runner: TaskRunner; clock: Clock}

type FinishOptions = {
  emit: Emit
  treeLocks: WorkingTreeLocks
  clearLeftLocks: ClearLeftLocks
  supervise: SuperviseRun
  agents: AgentContinuation
  plan: PlanRun
  close: CloseRun
  orphans: OrphanReaper
  /** Resolves with false if the worker stops before it is registered. */
  untilRegistered: () => Promise<boolean>
}

/** Returns the function that adds a journalled run to the active tasks and adopts, resumes or closes it. */
export const runRecoverer =
  ({runner, clock, ...options}: RecoverRunOptions): RecoverRun =>
  (run, pass) => {
    const {emit, treeLocks} = options
    const {task_id: taskId, title, attempt, path} = run
    const agent = savedReport(run) ? undefined : findAgent(run, pass.processes)
    if (agent) announce(run, 'adopt', emit)
    const since = run.started_at || clock.now()
    emit({type: 'task.received', taskId, title, source: 'recovery', attempt, path, since})
    const active: ActiveTask = {
      id: taskId,
      title,
      attempt,
      codebase: path,
      phase: agent ? 'running' : 'reporting',
      ...(agent ? {} : {reportingSince: clock.monotonic()}),
      since,
      isPortable: run.codebase_id === globalCodebase,
      // How long the worker was silent is unknown. Assume half a lease, so that a portable task is released in time.
      heldSince: clock.monotonic() - limits.lease / 2,
      sessionId: run.session_id,
      done: Promise.resolve(),
    }
    const treeLock = agent && treeLocks.reacquire(path, taskId, agent)
    runner.adopt(active, agent !== undefined, (slot) =>
      agent
        ? continueRun(run, agent, {active, slot, treeLock}, options)
        : finishRun(run, {active, slot, treeLock}, pass, options),
    )
  }

const announcements: Record<Plan['do'] | 'adopt', string> = {
  report: 'Delivering the report of a run that had ended',
  adopt: 'Going on with a run whose agent is at work',
  judge: 'Finishing a run whose agent has ended',
  resume: 'Continuing a run whose agent died with the worker',
  requeue: 'Giving a run back whose agent died with the worker',
}

const announce = ({task_id: taskId, title}: JournalledRun, what: keyof typeof announcements, emit: Emit) =>
  emit({type: 'notice', level: 'info', taskId, text: `${announcements[what]} (${title})`})

type Recovered = {active: ActiveTask; slot: Slot; treeLock: Lock | undefined}

const resourcesOf = (run: JournalledRun, {slot, treeLock}: Recovered) => ({
  treeLock,
  uploadFrom: uploadCursor(run),
  release: () => {
    treeLock?.[Symbol.dispose]()
    slot.release()
  },
})

/** The agent is alive: supervise it. This needs no control plane, which may be away for days. */
async function continueRun(
  run: JournalledRun,
  agent: ProcessIdentity,
  recovered: Recovered,
  {supervise, agents}: FinishOptions,
): Promise<void> {
  await supervise(run, recovered.active, {...resourcesOf(run, recovered), start: agents.adopt(run, agent)})
}

/** The agent is not alive: close the run, or resume its session. Closing is limited to a few runs at once. */
async function finishRun(
  run: JournalledRun,
  recovered: Recovered,
  {processes, limit}: RecoveryPass,
  options: FinishOptions,
): Promise<void> {
  const {emit, supervise, agents, plan: planRun, close, orphans, untilRegistered} = options
  // Nothing starts again before the control plane has confirmed that the task is still ours.
  if (!(await untilRegistered())) return
  const resumed = await limit(async () => {
    const plan = await planRun(run)
    announce(run, plan.do, emit)
    await orphans.endOrphansOf(run, processes)
    clearLocksOf(run, plan, options)
    if (plan.do === 'resume') return plan
    await close(run, plan)
    return undefined
  })
  if (!resumed) return
  const {record, treeLock} = resumed
  recovered.slot.acquire()
  recovered.active.phase = 'starting'
  const usageBefore = {...record.usage, model: run.model, duration_ms: null}
  const start = agents.resume(run, record.sessionId)
  await supervise(run, recovered.active, {...resourcesOf(run, {...recovered, treeLock}), start, usageBefore})
}

/** Removes git locks of the dead agent, unless somebody else has taken the working tree since. */
function clearLocksOf(
  {task_id: taskId, path, started_at: since}: JournalledRun,
  plan: Plan,
  {treeLocks, clearLeftLocks}: FinishOptions,
): void {
  if (plan.do === 'report') return
  using lock = plan.do === 'resume' ? undefined : treeLocks.reacquire(path, taskId, undefined)
  if (lock || plan.do === 'resume') clearLeftLocks({taskId, path, since})
}
