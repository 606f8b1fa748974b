import {join} from 'node:path'
import * as v from 'valibot'
import type {ConfiguredCodebase} from '../../config/settings.ts'
import {readStateJson, writePrivateFile} from '../../config/state-directory.ts'
import {globalCodebase} from '../../protocol/routes.ts'
import {registrableProblem, type Roots} from './registration-roots.ts'

const keptSchema = v.array(v.object({name: v.string(), path: v.string(), description: v.string()}))

export type CodebasesOptions = {
  configured: readonly ConfiguredCodebase[]
  /** Where tasks and sessions of no project belong: the pseudo-codebase `global`. */
  global: string | undefined
  roots: () => Roots
  /** The worker's own folder: what was registered from remote is kept there. */
  workerDir: string
}

/** What this worker serves: what was configured, what was registered with it since, and, perhaps, `global`. */
export class Codebases {
  readonly global: ConfiguredCodebase | undefined
  readonly #options: CodebasesOptions
  readonly #file: string
  #configured: readonly ConfiguredCodebase[]
  #list: ConfiguredCodebase[]
  /** Path of each codebase by the server's id. */
  readonly #paths = new Map<string, string>()
  readonly #refused = new Set<string>()
  /** Ids of what is no longer served: the server may still think that it is. */
  readonly #removed = new Set<string>()

  constructor(options: CodebasesOptions) {
    this.#options = options
    this.#file = join(options.workerDir, 'codebases.json')
    const path = options.global
    const description = 'Global OpenCode sessions (not project-specific)'
    this.global = path === undefined ? undefined : {name: globalCodebase, path, description}
    this.#configured = options.configured
    this.#list = [...options.configured]
    for (const kept of this.#kept()) if (this.problemWith(kept.path) === undefined) this.#remember(kept)
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

  /** Whose sessions each codebase has: those of its directory; the global one has the rest. */
  get homes(): {codebaseId: string; directory: string}[] {
    return this.entries.map(([codebaseId, path]) => ({
      codebaseId,
      directory: path === this.global?.path ? 'rest' : path,
    }))
  }

  idOf(path: string): string | undefined {
    return this.entries.find(([, known]) => known === path)?.[0]
  }

  /** Where a codebase is; undefined when it is not served here. */
  pathOf(id: string): string | undefined {
    return id === globalCodebase && this.isRegistered(this.global?.path) ? this.global?.path : this.#paths.get(id)
  }

  isRegistered(path: string | undefined): boolean {
    return path !== undefined && this.idOf(path) !== undefined
  }

  /** Why a path may not be registered from remote; undefined when it may. */
  problemWith(path: string): string | undefined {
    return registrableProblem(path, this.#options.roots())
  }

  /** Is it to be served, whether or not it can be? */
  isWanted({path}: ConfiguredCodebase): boolean {
    return path === this.global?.path || this.#list.some((known) => known.path === path)
  }

  /** Was it served here before, and is no longer? */
  wasRemoved(id: string): boolean {
    return this.#removed.has(id)
  }

  /** Other ones are configured now; answers with those that are no longer served. What was registered since stays. */
  configure(configured: readonly ConfiguredCodebase[]): ConfiguredCodebase[] {
    const staying = new Set([...configured, ...this.#kept()].map(({path}) => path))
    const before = new Set(this.#configured.map(({path}) => path))
    const gone = this.#list.filter(({path}) => before.has(path) && !staying.has(path))
    const named = new Set(configured.map(({path}) => path))
    const others = this.#list.filter((codebase) => !named.has(codebase.path) && !gone.includes(codebase))
    this.#configured = configured
    this.#list = [...configured, ...others]
    for (const {path} of gone) this.#forget(path)
    return gone
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

  /** The server has given this codebase an id. False when it has had it before. */
  registered({path}: ConfiguredCodebase, id: string): boolean {
    this.#refused.delete(path)
    this.#removed.delete(id)
    if (this.#paths.get(id) === path) return false
    for (const [old, known] of this.#paths) if (known === path) this.#paths.delete(old)
    this.#paths.set(id, path)
    return true
  }

  /** False when it was refused before, and not registered since. */
  refused({path}: ConfiguredCodebase): boolean {
    if (this.#refused.has(path)) return false
    this.#refused.add(path)
    return true
  }

  /** Serves one more from now on; `isKept` also after the next start. */
  add(codebase: ConfiguredCodebase, isKept: boolean): void {
    this.#remember(codebase)
    if (!isKept) return
    const others = this.#kept().filter(({path}) => path !== codebase.path)
    writePrivateFile(this.#file, `${JSON.stringify([...others, codebase], null, 2)}\n`)
  }

  #remember(codebase: ConfiguredCodebase): void {
    if (!this.#list.some(({path}) => path === codebase.path)) this.#list.push(codebase)
  }

  #kept(): readonly ConfiguredCodebase[] {
    const parsed = v.safeParse(keptSchema, readStateJson(this.#file))
    return parsed.success ? parsed.output : []
  }
}
