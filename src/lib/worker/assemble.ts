import type {Journal} from '../journal/journal.ts'
import type {createWorkerDisk} from './disk/worker-disk.ts'
import {Intake} from './intake/intake.ts'
import {Lifecycle} from './lifecycle.ts'
import {WorkingTreeLocks} from './locks/working-tree-locks.ts'
import {QueueWatch} from './queue-watch.ts'
import {agentContinuation} from './recovery/agent-continuation.ts'
import {runCloser} from './recovery/close-run.ts'
import {orphanReaper} from './recovery/orphans.ts'
import {recoveryPlanner} from './recovery/plan.ts'
import {runRecoverer} from './recovery/recover-run.ts'
import {recover} from './recovery/recovery.ts'
import type {Redaction} from './redaction.ts'
import {Codebases} from './registration/codebases.ts'
import {Registration} from './registration/registration.ts'
import {registrationRoots} from './registration/registration-roots.ts'
import {registrationExecutor} from './registration/registration-tasks.ts'
import {handleCancel, stopIfNotOurs} from './run/cancellation.ts'
import {claim} from './run/claim.ts'
import {executorChoice, runPreparer} from './run/prepare-run.ts'
import {taskRun} from './run/run-task.ts'
import {RunUploader} from './run/run-uploader.ts'
import {sessionReporter} from './run/session-report.ts'
import {runSupervisor} from './run/supervise-run.ts'
import {TaskRunner} from './run/task-runner.ts'
import type {WorkerComponents} from './running-worker.ts'
import type {WorkerOptions} from './worker-options.ts'
import {createSessionSync} from './worker-sessions.ts'

type Resources = {
  workerDir: string
  journal: Journal
  storage: ReturnType<typeof createWorkerDisk>
  redaction: Redaction
  /** Aborted when the worker gives up, even on reports. */
  signal: AbortSignal
}

/** Creates the components of a worker and connects them. Nothing runs yet. `recover` adopts runs of an earlier process. */
export function assembleWorker(
  options: WorkerOptions,
  resources: Resources,
): {components: WorkerComponents; recover: () => void} {
  const {config, name, stateDir, client, clock, workerId} = options
  const {emit} = options.bus
  const {workerDir, journal, storage, redaction, signal} = resources
  const {disk, folders, retention} = storage
  const codebases = new Codebases({
    configured: config.codebases,
    global: options.globalPath,
    roots: () => registrationRoots(config.registration_roots, config.codebases),
    workerDir,
  })
  const shared = {client, clock, emit, workerId, codebases}
  const registration = new Registration({
    ...shared,
    name,
    version: options.version,
    capabilities: config.capabilities,
    get slots() {
      return config.max_concurrent_tasks
    },
    stateDir,
    heartbeat: () => ({running: runner.activeRuns, free: runner.freeSlots}),
    onCodebasesChanged: () => void intake.announceCodebases(),
  })
  const uploader = new RunUploader({...shared, registration, journal, redact: redaction.current, signal})
  const reportSession = sessionReporter({...shared, signal})
  const supervise = runSupervisor({...shared, journal, uploader, folders, disk, reportSession})
  const stream = {isOpen: () => intake.connection === 'stream', reopen: (reason: string) => intake.reconnect(reason)}
  const prepare = runPreparer({
    ...shared,
    config,
    folders,
    disk,
    executorFor: executorChoice(options.executor, registrationExecutor({codebases, registration, emit, signal})),
    resumeCheck: {
      findSession: options.storage && ((id) => (sessions ? sessions.find(id) : Promise.resolve(undefined))),
      activeTasks: () => runner.active,
    },
  })
  const runTask = taskRun({
    ...shared,
    claim: (offered) => claim(offered, {...shared, signal, registration, stream}),
    prepare,
    supervise,
    journal,
    folders,
    registration,
  })
  const treeLocks = new WorkingTreeLocks(stateDir)
  const runner: TaskRunner = new TaskRunner({
    ...shared,
    config,
    treeLocks,
    runTask,
    decline: (taskId, reason) => {
      if (!registration.has('decline')) return false
      void client.decline(taskId, workerId, reason, signal).catch(() => {})
      return true
    },
    // A control plane with leases offers waiting tasks by itself when a slot becomes free.
    onSlotFree: () => registration.has('lease') || intake.pollSoon(),
  })
  const cancellation = {client, workerId, runner}
  const intake = new Intake({
    ...shared,
    registration,
    name,
    capabilities: config.capabilities,
    pollMs: () => config.poll_interval * 1000,
    silenceMs: config.sse_heartbeat_timeout * 1000,
    brokerUrl: config.redis_url,
    onTask: (task, source, seenAt) => runner.offer(task, source, seenAt),
    onCancel: (taskId, attempt, reason) => handleCancel({taskId, attempt, reason}, cancellation),
    onCancelHint: (taskId) => void stopIfNotOurs(taskId, cancellation, signal),
  })
  const sessions = createSessionSync(options, {
    workerDir,
    secrets: redaction.secrets(),
    registration,
    codebases,
    runner,
  })
  const orphans = orphanReaper({...shared, config})
  const recoverRun = runRecoverer({
    ...shared,
    runner,
    treeLocks,
    supervise,
    agents: agentContinuation({...shared, journal, config, executor: options.executor, disk}),
    plan: recoveryPlanner({config, treeLocks}),
    close: runCloser({...shared, journal, uploader, folders}),
    orphans,
    untilRegistered: async () => {
      await registration.untilRegistered(signal)
      return !signal.aborted
    },
  })
  const lifecycle = new Lifecycle(emit)
  const queue = new QueueWatch(shared)
  return {
    components: {lifecycle, codebases, registration, intake, runner, sessions, queue, disk, retention},
    recover: () => recover({journal, emit, orphans, recoverRun}),
  }
}
