import {join} from 'node:path'
import * as v from 'valibot'
import type {ConfiguredCodebase} from '../../config/settings.ts'
import {readStateJson, writePrivateFile} from '../../config/state-directory.ts'
import {realPathOf} from '../../core/paths/real-path.ts'
import {globalCodebase} from '../../protocol/routes.ts'
import {pathProblem, type Roots} from './registration-roots.ts'

const persistedSchema = v.array(v.object({name: v.string(), path: v.string(), description: v.string()}))

export type CodebasesOptions = {
  configured: readonly ConfiguredCodebase[]
  /** Directory of the pseudo-codebase `global`, for tasks and sessions of no project. */
  global: string | undefined
  roots: () => Roots
  /** The worker's state folder. Remote registrations are stored there. */
  workerDir: string
}

/** The codebases that this worker serves: configured, registered since, and optionally `global`. */
export class Codebases {
  readonly global: ConfiguredCodebase | undefined
  readonly #options: CodebasesOptions
  readonly #file: string
  #configured: readonly ConfiguredCodebase[]
  #list: ConfiguredCodebase[]
  /** Path of each codebase by the server's id. */
  readonly #paths = new Map<string, string>()
  readonly #refused = new Set<string>()
  /** Ids that are no longer served. The control plane may not know yet. */
  readonly #removed = new Set<string>()

  constructor(options: CodebasesOptions) {
    this.#options = options
    this.#file = join(options.workerDir, 'codebases.json')
    const path = options.global
    const description = 'Global OpenCode sessions (not project-specific)'
    this.global = path === undefined ? undefined : {name: globalCodebase, path, description}
    this.#configured = options.configured
    this.#list = [...options.configured]
    for (const codebase of this.#persisted()) if (this.problemWith(codebase.path) === undefined) this.#append(codebase)
  }

  get list(): readonly ConfiguredCodebase[] {
    return this.#list
  }

  get ids(): string[] {
    return [...this.#paths.keys()]
  }

  get entries(): [id: string, path: string][] {
    return [...this.#paths]
  }

  /** The directory whose sessions belong to each codebase. The global codebase gets all others. */
  get directories(): {codebaseId: string; directory: string}[] {
    return this.entries.map(([codebaseId, path]) => ({
      codebaseId,
      directory: path === this.global?.path ? 'rest' : path,
    }))
  }

  idOf(path: string): string | undefined {
    return this.entries.find(([, known]) => known === path)?.[0]
  }

  /** The path of a codebase, or undefined if it is not served here. */
  pathOf(id: string): string | undefined {
    return id === globalCodebase && this.isRegistered(this.global?.path) ? this.global?.path : this.#paths.get(id)
  }

  /** The codebase with exactly this path, as it is configured here. */
  at(path: string): ConfiguredCodebase | undefined {
    return this.global?.path === path ? this.global : this.#list.find((known) => known.path === path)
  }

  /** The served path of the same directory, if there is one. Else the path itself. */
  servedPathOf(path: string): string {
    const real = realPathOf(path)
    return this.#list.find((known) => realPathOf(known.path) === real)?.path ?? path
  }

  isRegistered(path: string | undefined): boolean {
    return path !== undefined && this.idOf(path) !== undefined
  }

  /** Why a path may not be registered remotely, or undefined if it may. */
  problemWith(path: string): string | undefined {
    return pathProblem(path, this.#options.roots())
  }

  /** Whether it should be served, even if it cannot be at the moment. */
  isWanted({path}: ConfiguredCodebase): boolean {
    return path === this.global?.path || this.#list.some((known) => known.path === path)
  }

  /** Whether it was served before and is no longer. */
  wasRemoved(id: string): boolean {
    return this.#removed.has(id)
  }

  /** Replaces the configured codebases and returns the removed ones. Remote registrations stay. */
  configure(configured: readonly ConfiguredCodebase[]): ConfiguredCodebase[] {
    const staying = new Set([...configured, ...this.#persisted()].map(({path}) => path))
    const before = new Set(this.#configured.map(({path}) => path))
    const named = new Set(configured.map(({path}) => path))
    const directories = new Set(configured.map(({path}) => realPathOf(path)))
    const isRenamed = (path: string) => !named.has(path) && directories.has(realPathOf(path))
    const removed = this.#list.filter(({path}) => (before.has(path) && !staying.has(path)) || isRenamed(path))
    const others = this.#list.filter((codebase) => !named.has(codebase.path) && !removed.includes(codebase))
    this.#configured = configured
    this.#list = [...configured, ...others]
    for (const {path} of removed) this.#forget(path)
    return removed
  }

  #forget(path: string): void {
    this.#refused.delete(path)
    if (path === this.global?.path) return
    for (const [id, known] of this.#paths) {
      if (known !== path) continue
      this.#paths.delete(id)
      this.#removed.add(id)
    }
  }

  /** Records the id that the control plane has assigned. Returns false if the id is not new. */
  markRegistered({path}: ConfiguredCodebase, id: string): boolean {
    this.#refused.delete(path)
    this.#removed.delete(id)
    if (this.#paths.get(id) === path) return false
    for (const [old, known] of this.#paths) if (known === path) this.#paths.delete(old)
    this.#paths.set(id, path)
    return true
  }

  /** Records that registration was refused. Returns false if it was refused before and not registered since. */
  markRefused({path}: ConfiguredCodebase): boolean {
    if (this.#refused.has(path)) return false
    this.#refused.add(path)
    return true
  }

  /** Adds a codebase. With `isPersistent` it is also served after the next start. */
  add(codebase: ConfiguredCodebase, isPersistent: boolean): void {
    this.#append(codebase)
    if (!isPersistent) return
    const others = this.#persisted().filter(({path}) => path !== codebase.path)
    writePrivateFile(this.#file, `${JSON.stringify([...others, codebase], null, 2)}\n`)
  }

  #append(codebase: ConfiguredCodebase): void {
    const isServed = this.#list.some(({path}) => path === this.servedPathOf(codebase.path))
    if (!isServed) this.#list.push(codebase)
  }

  #persisted(): readonly ConfiguredCodebase[] {
    const parsed = v.safeParse(persistedSchema, readStateJson(this.#file))
    return parsed.success ? parsed.output : []
  }
}
