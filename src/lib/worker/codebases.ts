import {join} from 'node:path'
import * as v from 'valibot'
import type {ConfiguredCodebase} from '../config/settings.ts'
import {readStateJson, writePrivate} from '../config/state-directory.ts'
import {globalCodebase} from '../protocol/routes.ts'
import {registrableProblem, type Roots} from './registration-roots.ts'

const keptSchema = v.array(v.object({name: v.string(), path: v.string(), description: v.string()}))

export type CodebasesOptions = {
  configured: readonly ConfiguredCodebase[]
  /** Where tasks and sessions of no project belong: the pseudo-codebase `global`. */
  global: string | undefined
  roots: Roots
  /** The worker's own folder: what was registered from remote is kept there. */
  workerDir: string
}

/** What this worker serves: what was configured, what was registered with it since, and, perhaps, `global`. */
export class Codebases {
  readonly global: ConfiguredCodebase | undefined
  readonly #options: CodebasesOptions
  readonly #file: string
  readonly #list: ConfiguredCodebase[]
  /** Path of each codebase by the server's id. */
  readonly #paths = new Map<string, string>()
  readonly #refused = new Set<string>()

  constructor(options: CodebasesOptions) {
    this.#options = options
    this.#file = join(options.workerDir, 'codebases.json')
    const path = options.global
    const description = 'Global OpenCode sessions (not project-specific)'
    this.global = path === undefined ? undefined : {name: globalCodebase, path, description}
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
    return registrableProblem(path, this.#options.roots)
  }

  /** The server has given this codebase an id. False when it has had it before. */
  registered({path}: ConfiguredCodebase, id: string): boolean {
    this.#refused.delete(path)
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
    writePrivate(this.#file, `${JSON.stringify([...others, codebase], null, 2)}\n`)
  }

  #remember(codebase: ConfiguredCodebase): void {
    if (!this.#list.some(({path}) => path === codebase.path)) this.#list.push(codebase)
  }

  #kept(): readonly ConfiguredCodebase[] {
    const parsed = v.safeParse(keptSchema, readStateJson(this.#file))
    return parsed.success ? parsed.output : []
  }
}
