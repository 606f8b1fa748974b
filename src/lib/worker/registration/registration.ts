import {hostname} from 'node:os'
import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {
  isNotFound,
  isSilence,
  isTransient,
  isUnauthorized,
  RefusedError,
  retryAfterMs,
  messageWithSuggestions,
} from '../../client/http.ts'
import {machineId} from '../../config/machine-id.ts'
import type {ConfiguredCodebase} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import {ExpectedError, messageOf} from '../../core/errors.ts'
import {fullJitter, loop} from '../../core/loop.ts'
import {aborted} from '../../core/request-signal.ts'
import type {Emit} from '../../events/bus.ts'
import type {AgentModel} from '../../opencode/program/models.ts'
import type {ServerFeature} from '../../protocol/features.ts'
import {limits} from '../../protocol/limits.ts'
import type {Heartbeat} from '../../protocol/schemas.ts'
import type {Codebases} from './codebases.ts'
import {workingTreeOf} from '../locks/working-tree.ts'
import {directoryProblem} from './directory-problem.ts'

export type RegistrationOptions = {
  client: ControlPlaneClient
  clock: Clock
  emit: Emit
  workerId: string
  /** Identifies this process. */
  instance: string
  name: string
  version: string
  capabilities: readonly string[]
  readonly slots: number
  readonly features: readonly string[]
  stateDir: string
  codebases: Codebases
  /** The content of a heartbeat: active runs and free slots. */
  heartbeat: () => Heartbeat
  /** Called when the ids of the codebases have changed. An open stream then names the wrong ones. */
  onCodebasesChanged: () => void
  /** Another process answers to the id of this worker (the reason), or no longer (null). */
  onIdTaken: (reason: string | null) => void
}

const registerMs = 60_000
const firstPause = fullJitter(500, 10_000)

/** Another process answers to the id of this worker. Our control plane refuses the process that came later. */
class WorkerIdTakenError extends ExpectedError {}

/** Translates the 409 of a registration or a heartbeat. Throws. */
function refuseTakenId(error: unknown): never {
  if (!(error instanceof RefusedError) || error.status !== 409) throw error
  throw new WorkerIdTakenError(`${error.detail}.`, {
    code: 'WORKER_ID_TAKEN',
    exit: 'temporary',
    suggestions: [
      'Stop one of the two processes, or give this worker another id: --worker-id, or remove identity.json from its state directory.',
    ],
    cause: error,
  })
}

/** Registers the worker and its codebases, repeats that each minute, and sends heartbeats. */
export class Registration {
  readonly #options: RegistrationOptions
  #features: ReadonlySet<string> = new Set()
  #announcedBroker: string | null = null
  #models: readonly AgentModel[] = []
  #modelsNote: string | null = null
  #registered = false
  #registeredAt = 0
  #lastHeartbeatAt = 0
  readonly #known = Promise.withResolvers<void>()

  constructor(options: RegistrationOptions) {
    this.#options = options
  }

  has(feature: ServerFeature): boolean {
    return this.#features.has(feature)
  }

  /** When the newest acknowledged heartbeat was sent, in monotonic ms. */
  get lastHeartbeatAt(): number {
    return this.#lastHeartbeatAt
  }

  get isRegistered(): boolean {
    return this.#registered
  }

  /** Resolves when the worker is registered, or aborted. Only then are the features of the control plane known. */
  async untilRegistered(signal: AbortSignal): Promise<void> {
    if (!this.#registered) await Promise.race([this.#known.promise, aborted(signal)])
  }

  /** The Redis URL that the control plane announces to its workers, as it came. */
  get announcedBroker(): string | null {
    return this.#announcedBroker
  }

  /** Registers the worker, then its codebases. Registers the worker again if the global codebase has a new id. */
  async register(signal: AbortSignal): Promise<void> {
    const {emit, workerId, name, client, clock, codebases} = this.#options
    const announced = this.#globalId
    await this.#registerWorker(signal)
    emit({type: 'worker.registered', workerId, name, server: client.url, first: !this.#registered})
    await this.#notifyOnIdChange(async () => {
      const all = [...(codebases.global ? [codebases.global] : []), ...codebases.list]
      for (const codebase of all) await this.#registerOrRefuse(codebase, signal)
    })
    if (this.#globalId !== announced) await this.#registerWorker(signal)
    this.#registered = true
    this.#known.resolve()
    this.#registeredAt = clock.monotonic()
  }

  /** Adds a codebase and resolves with its id. Throws, and adds nothing, if it cannot be registered. */
  async addCodebase(
    added: ConfiguredCodebase,
    {isPersistent, signal}: {isPersistent: boolean; signal: AbortSignal},
  ): Promise<string> {
    const problem = directoryProblem(added.path)
    if (problem !== undefined) throw new Error(`${added.path}: ${problem}`)
    const {codebases} = this.#options
    const codebase = {...added, path: codebases.servedPathOf(added.path)}
    await this.#notifyOnIdChange(async () => this.#serve(codebase, await this.#idFor(codebase, signal)))
    codebases.add(codebase, isPersistent)
    return codebases.idOf(codebase.path) ?? ''
  }

  /** Replaces the configured codebases. Active tasks of removed ones continue. */
  async configureCodebases(configured: readonly ConfiguredCodebase[]): Promise<void> {
    const {codebases, emit} = this.#options
    await this.#notifyOnIdChange(async () => {
      for (const {name, path} of codebases.configure(configured)) emit({type: 'codebase.removed', name, path})
    })
  }

  /** Registers at once because something has changed. A failure is retried with the next heartbeat. */
  async registerNow(signal: AbortSignal): Promise<void> {
    this.#registeredAt = Number.NEGATIVE_INFINITY
    try {
      await this.register(signal)
      await this.heartbeatNow(signal) // a registration does not tell that the worker is paused
    } catch (error) {
      this.#notice(isUnauthorized(error) ? 'error' : 'warn', messageWithSuggestions(error))
    }
  }

  get #globalId(): string | null {
    const {codebases} = this.#options
    return codebases.global ? (codebases.idOf(codebases.global.path) ?? null) : null
  }

  async #registerWorker(signal: AbortSignal): Promise<void> {
    const {client, workerId, instance, name, version, capabilities, slots, features} = this.#options
    const answer = await client
      .registerWorker(
        {
          worker_id: workerId,
          name,
          version,
          capabilities: [...capabilities],
          hostname: hostname(),
          machine_id: machineId(),
          instance,
          max_concurrent_tasks: slots,
          features: [...features],
          models: [...this.#models],
          models_note: this.#modelsNote,
          global_codebase_id: this.#globalId,
        },
        signal,
      )
      .catch(refuseTakenId)
    this.#features = new Set(answer.features)
    this.#announcedBroker = answer.redis_url
  }

  /** Sets the agent's models, and why there are none. Returns whether that is new and must be registered. */
  setModels(models: readonly AgentModel[], note: string | null): boolean {
    if (note === this.#modelsNote && JSON.stringify(models) === JSON.stringify(this.#models)) return false
    this.#models = models
    this.#modelsNote = note
    return true
  }

  /** Registers with retries. Throws on 401 and 403, which only a person can fix, and if another process has the id. */
  async registerWithRetries(signal: AbortSignal): Promise<void> {
    const done = new AbortController()
    await loop(
      async () => {
        await this.register(signal)
        done.abort()
      },
      {
        signal: AbortSignal.any([signal, done.signal]),
        clock: this.#options.clock,
        interval: 0,
        delay: (failures, error) => Math.max(firstPause(failures), retryAfterMs(error)),
        isFatal: (error) => isUnauthorized(error) || error instanceof WorkerIdTakenError,
        onFailure: ({error, failures}) => {
          if (failures === 1) this.#notice('warn', `${messageOf(error)} Trying again.`)
        },
      },
    )
  }

  /** Sends heartbeats until aborted. Registers each minute, and when the control plane does not know the worker. */
  async runHeartbeats(signal: AbortSignal): Promise<void> {
    const {clock} = this.#options
    await loop(
      async () => {
        // Heartbeat first: a failing registration must not make the worker appear dead.
        try {
          await this.#heartbeat(signal)
        } catch (error) {
          if (!isNotFound(error)) throw error
          if (error instanceof RefusedError && error.detail !== 'Not Found') return await this.register(signal)
        }

        if (clock.monotonic() - this.#registeredAt >= registerMs) {
          await this.register(signal)
          await this.heartbeatNow(signal) // a registration does not tell that the worker is paused
        }
        this.#options.onIdTaken(null)
      },
      {
        signal,
        clock,
        interval: limits.heartbeat,
        // no longer than a heartbeat, or the leases of the active tasks would expire
        delay: (_, error) => Math.max(5000 + Math.random() * 5000, Math.min(retryAfterMs(error), limits.heartbeat)),
        onFailure: ({error, failures}) => {
          if (error instanceof WorkerIdTakenError) this.#options.onIdTaken(error.message)
          if (failures > 1) return
          this.#notice(
            isUnauthorized(error) ? 'error' : isSilence(error) ? 'debug' : 'warn',
            messageWithSuggestions(error),
          )
        },
      },
    )
  }

  /** Sends active runs and free slots at once. If that fails, the next heartbeat sends them. */
  async heartbeatNow(signal: AbortSignal): Promise<void> {
    if (this.has('lease')) await this.#heartbeat(signal).catch(() => {})
  }

  async #heartbeat(signal: AbortSignal): Promise<void> {
    const {clock, client, workerId, instance, heartbeat} = this.#options
    const sentAt = clock.monotonic()
    const state = this.has('lease') ? {...heartbeat(), instance} : undefined
    await client.heartbeat(workerId, state, signal).catch(refuseTakenId)
    this.#lastHeartbeatAt = sentAt
  }

  async #notifyOnIdChange(register: () => Promise<void>): Promise<void> {
    const {codebases} = this.#options
    const before = codebases.ids.join(',')
    try {
      await register()
    } finally {
      if (codebases.ids.join(',') !== before) this.#options.onCodebasesChanged()
    }
  }

  /** A codebase that is missing or refused does not keep the others from being served. */
  async #registerOrRefuse(codebase: ConfiguredCodebase, signal: AbortSignal): Promise<void> {
    const problem = directoryProblem(codebase.path)
    if (problem !== undefined) return this.#refuse(codebase, problem)
    try {
      const id = await this.#idFor(codebase, signal)
      if (this.#options.codebases.isWanted(codebase)) this.#serve(codebase, id) // may have been removed meanwhile
    } catch (error) {
      if (isTransient(error) || isUnauthorized(error)) throw error
      this.#refuse(codebase, messageOf(error))
    }
  }

  async #idFor(codebase: ConfiguredCodebase, signal: AbortSignal): Promise<string> {
    const {client, workerId, stateDir} = this.#options
    const tree = workingTreeOf(codebase.path, stateDir).key
    return (await client.registerCodebase({...codebase, worker_id: workerId, tree}, signal)).id
  }

  #serve(codebase: ConfiguredCodebase, id: string): void {
    const {emit, codebases} = this.#options
    if (codebases.markRegistered(codebase, id))
      emit({type: 'codebase.registered', codebaseId: id, name: codebase.name, path: codebase.path})
  }

  /** Reported once, until the codebase is served again. */
  #refuse(codebase: ConfiguredCodebase, reason: string): void {
    const {name, path} = codebase
    if (this.#options.codebases.markRefused(codebase))
      this.#options.emit({type: 'codebase.refused', name, path, reason})
  }

  #notice(level: 'debug' | 'warn' | 'error', text: string): void {
    this.#options.emit({type: 'notice', level, text})
  }
}
