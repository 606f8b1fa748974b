import type {Journal} from '../journal/journal.ts'
import {dataDirectory} from '../opencode/program/local-opencode.ts'
import {withheldVariables} from '../opencode/program/withheld.ts'
import {createAdmission} from './admission/admission.ts'
import type {createWorkerDisk} from './disk/worker-disk.ts'
import {WorkingTreeLocks} from './locks/working-tree-locks.ts'
import type {AgentHealth} from './health/agent-health.ts'
import {DailyCost} from './health/daily-cost.ts'
import type {ProviderHealth} from './health/provider-health.ts'
import {agentContinuation} from './recovery/agent-continuation.ts'
import {runCloser} from './recovery/close-run.ts'
import {orphanReaper} from './recovery/orphans.ts'
import {isStillOurs} from './run/cancellation.ts'
import {recoveryPlanner} from './recovery/plan.ts'
import {runRecoverer} from './recovery/recover-run.ts'
import {recover} from './recovery/recovery.ts'
import type {Redaction} from './redaction.ts'
import type {Codebases} from './registration/codebases.ts'
import type {Registration} from './registration/registration.ts'
import {registrationExecutor} from './registration/registration-tasks.ts'
import {markerOwner, runMarker} from './run/marker.ts'
import {claim, type StreamControl} from './claim/claim.ts'
import {confirmAssignment} from './claim/confirm.ts'
import {inputChecker} from './inputs/check-input.ts'
import {Conversations} from './inputs/conversations.ts'
import {leftLockCleaner} from './run/left-locks.ts'
import {executorChoice, runPreparer} from './run/prepare-run.ts'
import type {FindSession} from './run/resume-check.ts'
import type {SuperviseRun} from './run/run-setup.ts'
import {requeueReportOf} from './run/reports.ts'
import {taskRun, type RunTask, type RunTaskOptions} from './run/run-task.ts'
import {RunUploader} from './run/run-uploader.ts'
import {sessionReporter} from './run/session-report.ts'
import {stateReports} from './run/state-reports.ts'
import {runSupervisor} from './run/supervise-run.ts'
import {TaskRunner} from './run/task-runner.ts'
import type {WorkerOptions} from './worker-options.ts'

/** What exists before the components of a worker. */
export type WorkerResources = {
  workerDir: string
  journal: Journal
  storage: ReturnType<typeof createWorkerDisk>
  redaction: Redaction
  /** Aborted when the worker gives up, even on reports. */
  signal: AbortSignal
}

/** What runs need of the components that are created after the runner. */
type Neighbours = {
  codebases: Codebases
  registration: Registration
  stream: StreamControl
  pollSoon: () => void
  findSession: FindSession | undefined
  health: AgentHealth
  providers: ProviderHealth
}

/** Creates the runner and everything below it: claiming, preparing, supervising, uploading and recovering runs. */
export function assembleRuns(
  options: WorkerOptions,
  resources: WorkerResources,
  neighbours: Neighbours,
): {runner: TaskRunner; uploader: RunUploader; conversations: Conversations; recover: () => void} {
  const {config, stateDir, client, clock, workerId} = options
  const {workerDir, journal, storage, redaction, signal} = resources
  const {codebases, registration, health, providers, pollSoon} = neighbours
  const {emit} = options.bus
  const {disk, folders} = storage
  const redact = (text: string) => redaction.current()?.(text) ?? text
  const uploader = new RunUploader({
    ...{client, registration, journal, clock, emit, workerId, signal},
    redact: redaction.current,
  })
  const dataDir = dataDirectory(options.storage?.env ?? {})
  const clearLeftLocks = leftLockCleaner({dataDir, emit, user: options.user})
  const reportSession = sessionReporter({client, clock, workerId, signal})
  const conversations = new Conversations({
    ...{client, registration, clock, emit, workerId, signal},
    check: inputChecker({config, clock, emit}),
  })
  const dailyCost = new DailyCost({
    ...{workerDir, clock},
    limit: () => config.max_cost_per_day,
    onProblem: (text) => emit({type: 'notice', level: 'warn', text}),
  })
  const supervise = runSupervisor({
    dailyCost,
    conversations,
    ...{journal, uploader, clock, emit, workerId, folders, disk, reportSession, health, providers, clearLeftLocks},
    reportWaits: () => void registration.heartbeatNow(signal),
    reportStates: stateReports({
      ...{clock, signal},
      active: () => runner.active,
      heartbeat: () => void registration.heartbeatNow(signal),
    }),
    redact,
    withheld: () => withheldVariables(options.storage?.env ?? {}, config.env_allow),
  })
  const treeLocks = new WorkingTreeLocks(stateDir)
  const runner: TaskRunner = new TaskRunner({
    ...{codebases, treeLocks, config, clock, emit, providers, dailyCost, workerId},
    runTask: createRunTask(options, resources, {
      ...{...neighbours, supervise, dailyCost, activeTasks: () => runner.active},
      stop: (active, reason) => {
        if (runner.active.includes(active)) runner.stop(active.id, reason)
      },
    }),
    lookForAgent: () => health.look(),
    decline: ({id, status, attempt}, reason, retryMs) => {
      if (!registration.has('decline')) return false
      const declined = {reason, retryMs, attempt: status === 'assigned' ? attempt : undefined}
      void client.decline(id, workerId, declined, signal).catch(() => {})
      return true
    },
    // A control plane with leases offers waiting tasks by itself when a slot becomes free.
    onSlotFree: () => registration.has('lease') || pollSoon(),
  })
  const orphans = orphanReaper({
    ...{config, clock, emit, groups: options.contained.groups, user: options.user},
    markerOwner: markerOwner(workerId, workerDir),
  })
  const recoverRun = runRecoverer({
    ...{runner, treeLocks, clock, emit, supervise, orphans, clearLeftLocks},
    agents: agentContinuation({journal, emit, clock, config, executor: options.executor, disk, user: options.user}),
    plan: recoveryPlanner({config, treeLocks, redact, isOurs: (run) => isStillOurs(run, client, signal)}),
    close: runCloser({journal, uploader, emit, folders, workerId}),
    untilRegistered: async () => {
      await registration.untilRegistered(signal)
      return !signal.aborted
    },
  })
  return {runner, uploader, conversations, recover: () => recover({journal, emit, orphans, recoverRun})}
}

type RunTaskParts = Neighbours & {
  supervise: SuperviseRun
  activeTasks: () => TaskRunner['active']
  dailyCost: DailyCost
  stop: RunTaskOptions['stop']
}

function createRunTask(
  {config, executor, client, clock, workerId, name, bus: {emit}, ...options}: WorkerOptions,
  {workerDir, journal, storage: {disk, folders}, signal}: WorkerResources,
  {codebases, registration, stream, pollSoon, findSession, supervise, activeTasks, dailyCost, stop}: RunTaskParts,
): RunTask {
  const owner = markerOwner(workerId, workerDir)
  const admission = createAdmission({
    ...{config, clock, emit, journal, codebases},
    env: options.storage?.env ?? {},
    markerOf: (task) => runMarker(owner, task),
    worker: {id: workerId, name},
  })
  const prepare = runPreparer({
    ...{config, admission, folders, disk, clock, emit},
    markerOwner: owner,
    executorFor: executorChoice(executor, registrationExecutor({codebases, registration, emit, signal})),
    resumeCheck: {findSession, activeTasks},
    dailyCost,
    canAsk: () => registration.has('input'),
  })
  return taskRun({
    ...{admission, prepare, supervise, journal, folders, registration, clock, emit, stop},
    giveBack: (task, reason) => {
      const report = requeueReportOf(task, reason, workerId, {began: false})
      void client.updateStatus(task.id, report, signal).catch(() => {})
    },
    confirm: (assigned, receivedAt, ended) =>
      confirmAssignment(assigned, receivedAt, {client, workerId, clock, signal: ended ?? signal}),
    claim: (offered) => claim(offered, {client, workerId, clock, signal, registration, stream, pollSoon}),
  })
}
