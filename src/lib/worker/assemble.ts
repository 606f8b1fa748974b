import {capabilityOf} from '../agents/definitions.ts'
import {randomUUID} from 'node:crypto'
import {featuresOf} from '../protocol/features.ts'
import {assembleRuns, type WorkerResources} from './assemble-runs.ts'
import {AgentHealth} from './health/agent-health.ts'
import {ProviderHealth} from './health/provider-health.ts'
import {Intake} from './intake/intake.ts'
import {Lifecycle} from './lifecycle.ts'
import {QueueWatch} from './queue-watch.ts'
import {Codebases} from './registration/codebases.ts'
import {Registration} from './registration/registration.ts'
import {registrationRoots} from './registration/registration-roots.ts'
import {handleCancel, stopIfNotOurs} from './run/cancellation.ts'
import type {WorkerComponents} from './running-worker.ts'
import type {WorkerOptions} from './worker-options.ts'
import {createSessionSync} from './worker-sessions.ts'

/** Creates the components of a worker and connects them. Nothing runs yet. `recover` adopts runs of an earlier process. */
export function assembleWorker(
  options: WorkerOptions,
  resources: WorkerResources,
): {components: WorkerComponents; recover: () => void} {
  const {config, name, client, clock, workerId} = options
  const {emit} = options.bus
  const {workerDir, storage, redaction, signal} = resources
  const {disk, retention} = storage
  const codebases = new Codebases({
    configured: config.codebases,
    global: options.globalPath,
    roots: () => registrationRoots(config.registration_roots, config.codebases),
    workerDir,
  })
  const shared = {
    client,
    clock,
    emit,
    workerId,
    instance: randomUUID(),
    codebases,
    name,
    capabilities: [...config.capabilities, ...(options.agents?.() ?? []).map(capabilityOf)],
  }
  const registration = new Registration({
    ...shared,
    version: options.version,
    get slots() {
      return config.max_concurrent_tasks
    },
    get features() {
      return featuresOf(config)
    },
    stateDir: options.stateDir,
    heartbeat: () => ({running: runner.activeRuns, free: runner.freeSlots, paused: runner.pauseReason}),
    onCodebasesChanged: () => void intake.announceCodebases(),
    onIdTaken: (reason) => runner.setPaused('identity', reason),
  })
  const health = new AgentHealth({
    clock,
    program: {
      ...options.program,
      check: async () => {
        await options.program.check()
        storage.folders.probe()
      },
    },
    setPaused: (reason) => {
      runner.setPaused('agent', reason)
      void registration.heartbeatNow(signal)
    },
  })
  const providers = new ProviderHealth({
    ...{clock, emit},
    onRecovered: () => {
      runner.fillSlots()
      void registration.registerNow(signal) // the control plane then offers again what was declined
    },
  })
  const {runner, uploader, conversations, recover} = assembleRuns(options, resources, {
    codebases,
    ...{health, providers},
    registration,
    stream: {isOpen: () => intake.connection === 'stream', reopen: (reason) => intake.reconnect(reason)},
    pollSoon: () => intake.pollSoon(),
    findSession: options.storage && ((id) => (sessions ? sessions.find(id) : Promise.resolve(undefined))),
  })
  const cancellation = {client, workerId, runner}
  const intake = new Intake({
    ...shared,
    registration,
    pollMs: () => config.poll_interval * 1000,
    silenceMs: config.sse_heartbeat_timeout * 1000,
    brokerUrl: config.redis_url,
    redisHosts: config.redis_hosts,
    onTask: (task, source, seenAt) => runner.offer(task, source, seenAt),
    onCancel: (taskId, attempt, reason) => handleCancel({taskId, attempt, reason}, cancellation),
    onInput: (taskId, attempt, input) => conversations.receive(taskId, attempt, input),
    onConnected: () => conversations.fetchNow(),
    onInstanceCheck: () => void registration.heartbeatNow(signal),
    onCancelHint: (taskId) => void stopIfNotOurs(taskId, cancellation, signal),
  })
  const secrets = redaction.secrets()
  const sessions = createSessionSync(options, {workerDir, secrets, registration, codebases, runner})
  const lifecycle = new Lifecycle(emit)
  const queue = new QueueWatch(shared)
  const components = {
    lifecycle,
    codebases,
    registration,
    intake,
    runner,
    uploader,
    conversations,
    sessions,
    queue,
    disk,
    retention,
    health,
    providers,
  }
  return {components, recover}
}
