import {statSync} from 'node:fs'
import {join} from 'node:path'
import * as v from 'valibot'
import type {Clock} from '../../core/clock.ts'
import {parseJson} from '../../protocol/parse.ts'
import type {Model} from '../../protocol/model-schemas.ts'
import {readAsUser, type AgentUser} from './agent-user.ts'
import {queryOpenCode, type QueryOptions} from './query.ts'

/** The details that `opencode models --verbose` prints after each name. */
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

/** A longer list would make registrations large and is of no use to people. */
const maxModels = 2000
const freshMs = 60 * 60_000
/** The first start of OpenCode on a machine takes long. */
const queryMs = 60_000
/** OpenCode always lists its own free models, even without a login. */
const hosted = 'opencode'

/** A model as the worker registers it. */
export type AgentModel = Pick<Model, 'id' | 'name' | 'provider' | 'provider_id' | 'capabilities'>

export type ModelSource = {
  /** The models that the agent can use. The previous list if OpenCode cannot be queried now. */
  get(): Promise<readonly AgentModel[]>
  /** Why the last list is empty, for people. */
  problem?(): string | undefined
}

export type ModelSourceOptions = QueryOptions & {
  clock: Clock
  /** The directory of the query. Models of single projects are not registered. */
  directory: string
  /** OpenCode's data folder, with `auth.json` in it. */
  dataDir: string
}

/**
 * Creates the source of the agent's models. It queries OpenCode again after an hour, or when logins have changed. Of
 * `auth.json` only provider names are used.
 */
export function createModelSource(options: ModelSourceOptions): ModelSource {
  const {clock, dataDir, directory} = options
  const authFile = join(dataDir, 'auth.json')
  let known: {models: readonly AgentModel[]; at: number; logins: string} | undefined
  let running: Promise<readonly AgentModel[]> | undefined
  let problem: string | undefined

  const query = async (logins: string) => {
    const ask = (...args: string[]) => queryOpenCode(['models', ...args], directory, {timeoutMs: queryMs, ...options})
    const text = (await ask('--verbose')) ?? (await ask()) // older versions do not know --verbose
    running = undefined
    problem = text === undefined ? noAnswer : undefined
    if (text === undefined) return known?.models ?? []
    known = {models: usable(readModels(text), readLogins(authFile, options.user)), at: clock.monotonic(), logins}
    if (known.models.length === 0) problem = noLogin
    return known.models
  }
  return {
    async get() {
      const logins = stampOf(authFile)
      if (known?.logins === logins && clock.monotonic() - known.at < freshMs) return known.models
      return await (running ??= query(logins))
    },
    problem: () => problem,
  }
}

const noAnswer = '`opencode models` fails or does not answer'
const noLogin = 'OpenCode has no login of a provider: run `opencode auth login` as the user of the worker'

/** Parses lines with names, each optionally followed by an object. */
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

/** Whether each provider has a login with a key. */
function readLogins(authFile: string, user: AgentUser | undefined): ReadonlyMap<string, boolean> {
  const parsed = v.safeParse(authSchema, parseJson(readAsUser(user, authFile) ?? ''))
  if (!parsed.success) return new Map()
  return new Map(Object.entries(parsed.output).map(([provider, entry]) => [provider, hasKey(entry)]))
}

function hasKey(entry: unknown): boolean {
  const parsed = v.safeParse(keySchema, entry)
  return parsed.success && [parsed.output.key, parsed.output.access, parsed.output.refresh].some((key) => key !== '')
}

/** A listed provider without an entry has its key in the environment or the configuration. */
const usable = (models: AgentModel[], logins: ReadonlyMap<string, boolean>): AgentModel[] =>
  models.filter(({provider_id: provider}) => logins.get(provider) ?? provider !== hosted).slice(0, maxModels)

function stampOf(file: string): string {
  try {
    const {mtimeMs, size, ino} = statSync(file)
    return `${mtimeMs} ${size} ${ino}`
  } catch {
    return 'none'
  }
}
