import {readFileSync, statSync} from 'node:fs'
import {join} from 'node:path'
import * as v from 'valibot'
import type {Clock} from '../../core/clock.ts'
import {parseJson} from '../../protocol/parse.ts'
import type {Model} from '../../protocol/model-schemas.ts'
import {queryOpenCode, type QueryOptions} from './query.ts'

/** What `opencode models --verbose` prints behind each name. */
const detailSchema = v.object({
  name: v.optional(v.string()),
  capabilities: v.optional(
    v.object({
      reasoning: v.optional(v.boolean(), false),
      attachment: v.optional(v.boolean(), false),
      toolcall: v.optional(v.boolean(), true),
    }),
  ),
})
const authSchema = v.record(v.string(), v.unknown())
const keySchema = v.looseObject({
  key: v.optional(v.string(), ''),
  access: v.optional(v.string(), ''),
  refresh: v.optional(v.string(), ''),
})

/** More would make each registration long, and nobody chooses from a list of that length. */
const mostModels = 2000
const freshMs = 60 * 60_000
/** OpenCode's own free models are listed for everybody, login or not. */
const hosted = 'opencode'

/** A model as it is announced. */
export type AgentModel = Pick<Model, 'id' | 'name' | 'provider' | 'provider_id' | 'capabilities'>

export type ModelSource = {
  /** The models that the agent can use here; those of before where OpenCode cannot be asked now. */
  get(): Promise<readonly AgentModel[]>
}

export type ModelSourceOptions = QueryOptions & {
  clock: Clock
  /** Where OpenCode is asked: the models of a project are its own business. */
  directory: string
  /** OpenCode's data folder, with `auth.json` in it. */
  dataDir: string
}

/**
 * Which models the agent can use, asked anew after an hour, or when logins have changed. Of `auth.json` only the
 * names of providers are looked at.
 */
export function createModelSource(options: ModelSourceOptions): ModelSource {
  const {clock, dataDir, directory} = options
  const authFile = join(dataDir, 'auth.json')
  let known: {models: readonly AgentModel[]; at: number; logins: string} | undefined
  let asking: Promise<readonly AgentModel[]> | undefined

  const ask = async (logins: string) => {
    const verbose = await queryOpenCode(['models', '--verbose'], directory, options)
    const text = verbose ?? (await queryOpenCode(['models'], directory, options)) // the older ones know no --verbose
    asking = undefined
    if (text === undefined) return known?.models ?? []
    known = {models: usable(readModels(text), readLogins(authFile)), at: clock.monotonic(), logins}
    return known.models
  }
  return {
    async get() {
      const logins = changeOf(authFile)
      if (known?.logins === logins && clock.monotonic() - known.at < freshMs) return known.models
      return await (asking ??= ask(logins))
    },
  }
}

/** Names on lines of their own, each perhaps with an object behind it. */
export function readModels(text: string): AgentModel[] {
  const names = [...text.matchAll(/^([^\s/{}"]+)\/(\S+)[ \t]*$/gm)]
  return names.map((match, i) => {
    const [id, provider = '', model = ''] = match
    const behind = text.slice(match.index + id.length, names[i + 1]?.index).trim()
    const detail = v.safeParse(detailSchema, parseJson(behind))
    const {name, capabilities} = detail.success ? detail.output : {}
    return {
      id: id.trim(),
      name: name ?? model,
      provider,
      provider_id: provider,
      capabilities: {
        reasoning: capabilities?.reasoning ?? false,
        attachment: capabilities?.attachment ?? false,
        tool_call: capabilities?.toolcall ?? true,
      },
    }
  })
}

/** By provider: has it a login that is more than an empty entry? */
function readLogins(authFile: string): ReadonlyMap<string, boolean> {
  try {
    const parsed = v.safeParse(authSchema, parseJson(readFileSync(authFile, 'utf8')))
    if (!parsed.success) return new Map()
    return new Map(Object.entries(parsed.output).map(([provider, entry]) => [provider, hasKey(entry)]))
  } catch {
    return new Map()
  }
}

function hasKey(entry: unknown): boolean {
  const parsed = v.safeParse(keySchema, entry)
  return parsed.success && [parsed.output.key, parsed.output.access, parsed.output.refresh].some((key) => key !== '')
}

/** A provider that OpenCode lists without an entry has its key elsewhere: in the environment or the configuration. */
const usable = (models: AgentModel[], logins: ReadonlyMap<string, boolean>): AgentModel[] =>
  models.filter(({provider_id: provider}) => logins.get(provider) ?? provider !== hosted).slice(0, mostModels)

function changeOf(file: string): string {
  try {
    const {mtimeMs, size, ino} = statSync(file)
    return `${mtimeMs} ${size} ${ino}`
  } catch {
    return 'none'
  }
}
