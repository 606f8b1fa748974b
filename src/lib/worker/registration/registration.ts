import {statSync} from 'node:fs'
import {hostname} from 'node:os'
import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {isAbsent, isTransient, isUnauthorized, RefusedError, UnreachableError, withAdvice} from '../../client/http.ts'
import type {ConfiguredCodebase} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import {fullJitter, loop} from '../../core/loop.ts'
import {aborted} from '../../core/operation.ts'
import type {Emit} from '../../events/bus.ts'
import type {AgentModel} from '../../opencode/program/models.ts'
import {brokerUrlProblem} from '../../protocol/broker.ts'
import {workerFeatures, type ServerFeature} from '../../protocol/features.ts'
import {limits} from '../../protocol/limits.ts'
import type {Heartbeat} from '../../protocol/schemas.ts'
import type {Codebases} from './codebases.ts'
import {laneOf} from '../locks/lanes.ts'

export type RegistrationOptions = {
  client: ControlPlaneClient
  clock: Clock
  emit: Emit
  workerId: string
  name: string
  version: string
  capabilities: readonly string[]
  readonly slots: number
  stateDir: string
  codebases: Codebases
  /** What a heartbeat says. */
  state: () => Heartbeat
  /** The ids of the codebases are not the ones from before: an open stream names the wrong ones. */
  onCodebases: () => void
}

const againMs = 60_000

/** Makes the worker and its codebases known, keeps them known, and says that it is alive. */
export class Registration {
  readonly #options: RegistrationOptions
  #features: ReadonlySet<string> = new Set()
  #brokerUrl: string | undefined
  #models: readonly AgentModel[] = []
  #registered = false
  #last = 0
  #lastSign = 0
  readonly #known = Promise.withResolvers<void>()

  constructor(options: RegistrationOptions) {
    this.#options = options
  }

  has(feature: ServerFeature): boolean {
    return this.#features.has(feature)
  }

  /** When the newest heartbeat that the server has acknowledged was sent, on the monotonic clock. */
  get lastSign(): number {
    return this.#lastSign
  }

  get isKnown(): boolean {
    return this.#registered
  }

  /** Resolves once the server has registered the worker, as it is not known before what the server can do; or when aborted. */
  async untilKnown(signal: AbortSignal): Promise<void> {
    if (!this.#registered) await Promise.race([this.#known.promise, aborted(signal)])
  }

  /** The broker that the server wants its workers to listen to. */
  get brokerUrl(): string | undefined {
    return this.#brokerUrl
  }

  /** The worker first, then its codebases; and again, should the server call the global one by another id. */
  async register(signal: AbortSignal): Promise<void> {
    const {emit, workerId, name, client, clock, codebases} = this.#options
    const announced = this.#globalId
    await this.#registerWorker(signal)
    emit({type: 'worker.registered', workerId, name, server: client.url, first: !this.#registered})
    await this.#watchingIds(async () => {
      const all = [...(codebases.global ? [codebases.global] : []), ...codebases.list]
      for (const codebase of all) await this.#registerOrRefuse(codebase, signal)
    })
    if (this.#globalId !== announced) await this.#registerWorker(signal)
    this.#registered = true
    this.#known.resolve()
    this.#last = clock.monotonic()
  }

  /** Serves one more codebase from now on; answers with its id. Throws, and does not, when it cannot be registered. */
  async add(codebase: ConfiguredCodebase, {isKept, signal}: {isKept: boolean; signal: AbortSignal}): Promise<string> {
    const problem = directoryProblem(codebase.path)
    if (problem !== undefined) throw new Error(`${codebase.path}: ${problem}`)
    const {codebases} = this.#options
    await this.#watchingIds(async () => this.#serve(codebase, await this.#idFor(codebase, signal)))
    codebases.add(codebase, isKept)
    return codebases.idOf(codebase.path) ?? ''
  }

  /** Serves these codebases from now on, and no longer those that were configured before; tasks of them go on. */
  async configure(configured: readonly ConfiguredCodebase[]): Promise<void> {
    const {codebases, emit} = this.#options
    await this.#watchingIds(async () => {
      for (const {name, path} of codebases.configure(configured)) emit({type: 'codebase.removed', name, path})
    })
  }

  /** Registers at once, as something of it has changed; where that fails, with the next heartbeat. */
  async registerAnew(signal: AbortSignal): Promise<void> {
    this.#last = Number.NEGATIVE_INFINITY
    try {
      await this.register(signal)
    } catch (error) {
      this.#notice(isUnauthorized(error) ? 'error' : 'warn', withAdvice(error))
    }
  }

  get #globalId(): string | null {
    const {codebases} = this.#options
    return codebases.global ? (codebases.idOf(codebases.global.path) ?? null) : null
  }

  async #registerWorker(signal: AbortSignal): Promise<void> {
    const {client, workerId, name, version, capabilities, slots} = this.#options
    const answer = await client.registerWorker(
      {
        worker_id: workerId,
        name,
        version,
        capabilities: [...capabilities],
        hostname: hostname(),
        max_concurrent_tasks: slots,
        features: [...workerFeatures],
        models: [...this.#models],
        global_codebase_id: this.#globalId,
      },
      signal,
    )
    this.#features = new Set(answer.features)
    this.#brokerUrl = brokerOf(answer.redis_url)
  }

  /** What the agent can use now; the server hears of it with the next heartbeat. */
  setModels(models: readonly AgentModel[]): void {
    if (JSON.stringify(models) === JSON.stringify(this.#models)) return
    this.#models = models
    this.#last = Number.NEGATIVE_INFINITY
  }

  /** Registers until it worked; what only a person can mend (401, 403) ends it. */
  async registerUntilDone(signal: AbortSignal): Promise<void> {
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
        delay: fullJitter(500, 10_000),
        isFatal: (error) => isUnauthorized(error),
        onFailure: ({error, failures}) => {
          if (failures === 1) this.#notice('warn', `${messageOf(error)} Trying again.`)
        },
      },
    )
  }

  /** Heartbeats, one after the other, and a new registration each minute or when the server has forgotten us. */
  async keep(signal: AbortSignal): Promise<void> {
    const {clock} = this.#options
    await loop(
      async () => {
        // Signs of life first: a registration that fails must not make the worker look dead.
        try {
          await this.#heartbeat(signal)
        } catch (error) {
          if (!isAbsent(error)) throw error
          if (error instanceof RefusedError && error.detail !== 'Not Found') return await this.register(signal)
        }

        if (clock.monotonic() - this.#last >= againMs) await this.register(signal)
      },
      {
        signal,
        clock,
        interval: limits.heartbeat,
        delay: () => 5000 + Math.random() * 5000,
        onFailure: ({error, failures}) => {
          if (failures > 1) return
          // That nothing answers is said of the link already.
          const isSilence = error instanceof UnreachableError && error.code === 'SERVER_UNREACHABLE'
          this.#notice(isUnauthorized(error) ? 'error' : isSilence ? 'debug' : 'warn', withAdvice(error))
        },
      },
    )
  }

  /** Says what the worker holds and has room for, between two heartbeats: where that fails the next one says it. */
  async sayNow(signal: AbortSignal): Promise<void> {
    if (this.has('lease')) await this.#heartbeat(signal).catch(() => {})
  }

  async #heartbeat(signal: AbortSignal): Promise<void> {
    const {clock, client, workerId, state} = this.#options
    const sentAt = clock.monotonic()
    await client.heartbeat(workerId, this.has('lease') ? state() : undefined, signal)
    this.#lastSign = sentAt
  }

  async #watchingIds(register: () => Promise<void>): Promise<void> {
    const {codebases} = this.#options
    const before = codebases.ids.join(',')
    try {
      await register()
    } finally {
      if (codebases.ids.join(',') !== before) this.#options.onCodebases()
    }
  }

  /** One that is not there, or that the server will not have, is no reason to leave the others unserved. */
  async #registerOrRefuse(codebase: ConfiguredCodebase, signal: AbortSignal): Promise<void> {
    const problem = directoryProblem(codebase.path)
    if (problem !== undefined) return this.#refuse(codebase, problem)
    try {
      const id = await this.#idFor(codebase, signal)
      if (this.#options.codebases.isWanted(codebase)) this.#serve(codebase, id) // it may have been removed meanwhile
    } catch (error) {
      if (isTransient(error) || isUnauthorized(error)) throw error
      this.#refuse(codebase, messageOf(error))
    }
  }

  async #idFor(codebase: ConfiguredCodebase, signal: AbortSignal): Promise<string> {
    const {client, workerId, stateDir} = this.#options
    const tree = laneOf(codebase.path, stateDir).key
    return (await client.registerCodebase({...codebase, worker_id: workerId, tree}, signal)).id
  }

  #serve(codebase: ConfiguredCodebase, id: string): void {
    const {emit, codebases} = this.#options
    if (codebases.registered(codebase, id))
      emit({type: 'codebase.registered', codebaseId: id, name: codebase.name, path: codebase.path})
  }

  /** Said once, until it is served again. */
  #refuse(codebase: ConfiguredCodebase, reason: string): void {
    const {name, path} = codebase
    if (this.#options.codebases.refused(codebase)) this.#options.emit({type: 'codebase.refused', name, path, reason})
  }

  #notice(level: 'debug' | 'warn' | 'error', text: string): void {
    this.#options.emit({type: 'notice', level, text})
  }
}

/** An address that is none is the server's mistake, and costs latency only. */
const brokerOf = (url: string | null) => (url !== null && brokerUrlProblem(url) === undefined ? url : undefined)

/** Why a path cannot be worked in; undefined when it can. */
export function directoryProblem(path: string): string | undefined {
  try {
    return statSync(path).isDirectory() ? undefined : 'it is not a directory'
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'the path does not exist' : messageOf(error)
  }
}
