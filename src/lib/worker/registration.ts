import {statSync} from 'node:fs'
import {hostname} from 'node:os'
import type {ControlPlaneClient} from '../client/control-plane.ts'
import {isAbsent, isTransient, isUnauthorized, RefusedError, UnreachableError} from '../client/http.ts'
import type {ConfiguredCodebase} from '../config/settings.ts'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import {fullJitter, loop} from '../core/loop.ts'
import type {Emit} from '../events/bus.ts'
import {brokerUrlProblem} from '../protocol/broker.ts'
import {workerFeatures, type ServerFeature} from '../protocol/features.ts'
import {limits} from '../protocol/limits.ts'
import type {Heartbeat} from '../protocol/schemas.ts'
import {laneOf} from './lanes.ts'

export type RegistrationOptions = {
  client: ControlPlaneClient
  clock: Clock
  emit: Emit
  workerId: string
  name: string
  version: string
  capabilities: readonly string[]
  slots: number
  stateDir: string
  codebases: readonly ConfiguredCodebase[]
  /** What a heartbeat says. */
  state: () => Heartbeat
  /** The ids of the codebases are not the ones from before: an open stream names the wrong ones. */
  onCodebases: () => void
}

const againMs = 60_000

/** Makes the worker and its codebases known, keeps them known, and says that it is alive. */
export class Registration {
  readonly #options: RegistrationOptions
  readonly #codebases: ConfiguredCodebase[]
  /** Path of each codebase by the server's id. */
  readonly paths = new Map<string, string>()
  readonly #refused = new Set<string>()
  #features: ReadonlySet<string> = new Set()
  #brokerUrl: string | undefined
  #registered = false
  #last = 0

  constructor(options: RegistrationOptions) {
    this.#options = options
    this.#codebases = [...options.codebases]
  }

  has(feature: ServerFeature): boolean {
    return this.#features.has(feature)
  }

  /** The broker that the server wants its workers to listen to. */
  get brokerUrl(): string | undefined {
    return this.#brokerUrl
  }

  /** Whether tasks of this codebase are ours to take. */
  mayServe(codebaseId: string): boolean {
    return this.paths.has(codebaseId)
  }

  get codebaseIds(): string[] {
    return [...this.paths.keys()]
  }

  /** The worker first, then its codebases. Throws as the client does. */
  async register(signal: AbortSignal): Promise<void> {
    const {client, emit, workerId, name, version, capabilities, slots, clock} = this.#options
    const worker = {worker_id: workerId, name, version, capabilities: [...capabilities], hostname: hostname()}
    const answer = await client.registerWorker(
      {...worker, max_concurrent_tasks: slots, features: [...workerFeatures], models: [], global_codebase_id: null},
      signal,
    )
    this.#features = new Set(answer.features)
    this.#brokerUrl = brokerOf(answer.redis_url)
    emit({type: 'worker.registered', workerId, name, server: client.url, first: !this.#registered})
    await this.#watchingIds(async () => {
      for (const codebase of this.#codebases) await this.#registerOrRefuse(codebase, signal)
    })
    this.#registered = true
    this.#last = clock.monotonic()
  }

  /** Serves one more codebase from now on. Throws, and does not, when it cannot be registered. */
  async add(codebase: ConfiguredCodebase, signal: AbortSignal): Promise<void> {
    const problem = directoryProblem(codebase.path)
    if (problem !== undefined) throw new Error(`${codebase.path}: ${problem}`)
    await this.#watchingIds(() => this.#registerCodebase(codebase, signal))
    if (!this.#codebases.some(({path}) => path === codebase.path)) this.#codebases.push(codebase)
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
    const {clock, client, workerId, state} = this.#options
    await loop(
      async () => {
        // Signs of life first: a registration that fails must not make the worker look dead.
        try {
          await client.heartbeat(workerId, this.has('lease') ? state() : undefined, signal)
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
          this.#notice(isUnauthorized(error) ? 'error' : isSilence ? 'debug' : 'warn', messageOf(error))
        },
      },
    )
  }

  async #watchingIds(register: () => Promise<void>): Promise<void> {
    const before = this.codebaseIds.join(',')
    try {
      await register()
    } finally {
      if (this.codebaseIds.join(',') !== before) this.#options.onCodebases()
    }
  }

  /** One that is not there, or that the server will not have, is no reason to leave the others unserved. */
  async #registerOrRefuse(codebase: ConfiguredCodebase, signal: AbortSignal): Promise<void> {
    const problem = directoryProblem(codebase.path)
    if (problem !== undefined) return this.#refuse(codebase, problem)
    try {
      await this.#registerCodebase(codebase, signal)
    } catch (error) {
      if (isTransient(error) || isUnauthorized(error)) throw error
      this.#refuse(codebase, messageOf(error))
    }
  }

  async #registerCodebase(codebase: ConfiguredCodebase, signal: AbortSignal): Promise<void> {
    const {client, emit, workerId, stateDir} = this.#options
    const tree = laneOf(codebase.path, stateDir).key
    const {id} = await client.registerCodebase({...codebase, worker_id: workerId, tree}, signal)
    this.#refused.delete(codebase.path)
    if (this.paths.get(id) === codebase.path) return
    for (const [old, path] of this.paths) if (path === codebase.path) this.paths.delete(old)
    this.paths.set(id, codebase.path)
    emit({type: 'codebase.registered', codebaseId: id, name: codebase.name, path: codebase.path})
  }

  /** Said once, until it is served again. */
  #refuse({name, path}: ConfiguredCodebase, reason: string): void {
    if (!this.#refused.has(path)) this.#options.emit({type: 'codebase.refused', name, path, reason})
    this.#refused.add(path)
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
