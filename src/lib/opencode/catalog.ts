import {mkdtempSync, openSync, closeSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {execa} from 'execa'
import type {Clock} from '../core/clock.ts'
import {asDescriptor} from '../core/descriptor.ts'
import {ExpectedError} from '../core/errors.ts'
import {nearest} from '../core/nearest.ts'

/** Which models and agents OpenCode has in a directory: both depend on the project's own configuration. */
export type Catalog = {
  /** Undefined where OpenCode could not be asked. */
  models(directory: string): Promise<readonly string[] | undefined>
  /** Agents that a task can be given to; subagents are not. */
  agents(directory: string): Promise<readonly string[] | undefined>
  /** Rejects when OpenCode is known not to have the model. Returns undefined at once where it is known to have it. */
  checkModel(model: string, directory: string): Promise<void> | undefined
  checkAgent(agent: string, directory: string): Promise<void> | undefined
}

export type CatalogOptions = {
  binary: string
  /** The agent's environment in a directory. */
  env: (directory: string) => NodeJS.ProcessEnv
  clock: Clock
  /** An existing folder for short-lived files. */
  scratchDir: string
  timeoutMs?: number
}

const freshMs = 10 * 60_000
/** A name that is not in a list older than this may have been added since. */
const missMs = 30_000
const mostDirectories = 200
/** Has always had them; a list costs a start of OpenCode, some seconds. */
const builtInAgents = ['build', 'plan']

type List = {names: readonly string[]; at: number}
type Reader = {arguments: string[]; parse: (text: string) => string[]}

const modelReader: Reader = {
  arguments: ['models'],
  parse: (text) =>
    text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => /^[^\s/]+\/\S/.test(line)),
}

const agentReader: Reader = {
  arguments: ['agent', 'list'],
  parse: (text) => [...text.matchAll(/^(\S.*?) \((?:primary|all)\)$/gm)].map((match) => match[1] ?? ''),
}

/** Asks OpenCode when first needed, and keeps each answer for ten minutes. */
export function createCatalog(options: CatalogOptions): Catalog {
  const models = createLists(modelReader, options)
  const agents = createLists(agentReader, options)
  return {
    models: async (directory) => (await models.get(directory, freshMs))?.names,
    agents: async (directory) => (await agents.get(directory, freshMs))?.names,
    checkModel: (model, directory) =>
      models.has(model, directory) ? undefined : check(models, model, directory, unknownModel),
    checkAgent: (agent, directory) =>
      builtInAgents.includes(agent) || agents.has(agent, directory)
        ? undefined
        : check(agents, agent, directory, unknownAgent),
  }
}

type Lists = ReturnType<typeof createLists>

async function check(
  lists: Lists,
  name: string,
  directory: string,
  problem: (name: string, known: readonly string[]) => ExpectedError,
): Promise<void> {
  const list = (await lists.get(directory, freshMs)) && (await lists.get(directory, missMs, name))
  // An empty list tells as little as none: OpenCode then says itself what is wrong.
  if (list && list.names.length > 0 && !list.names.includes(name)) throw problem(name, list.names)
}

function createLists(reader: Reader, options: CatalogOptions) {
  const {clock} = options
  const lists = new Map<string, List>()
  const asking = new Map<string, Promise<List | undefined>>()

  const isYoung = (list: List, ms: number) => clock.monotonic() - list.at < ms

  const ask = async (directory: string) => {
    const names = await readNames(reader, directory, options)
    asking.delete(directory)
    if (!names) return undefined
    const list = {names, at: clock.monotonic()}
    lists.delete(directory)
    lists.set(directory, list)
    const oldest = lists.keys().next().value
    if (lists.size > mostDirectories && oldest !== undefined) lists.delete(oldest)
    return list
  }

  return {
    has(name: string, directory: string): boolean {
      const list = lists.get(directory)
      return list !== undefined && isYoung(list, freshMs) && list.names.includes(name)
    },
    /** The list if it is younger than `ms` or has `wanted` in it, else a new one; two callers share one question. */
    async get(directory: string, ms: number, wanted?: string): Promise<List | undefined> {
      const list = lists.get(directory)
      if (list && (isYoung(list, ms) || (wanted !== undefined && list.names.includes(wanted)))) return list
      const running = asking.get(directory) ?? ask(directory)
      asking.set(directory, running)
      return (await running) ?? list
    },
  }
}

/** Into a file: OpenCode exits without draining a pipe. Undefined where there is no answer in time. */
async function readNames(reader: Reader, directory: string, options: CatalogOptions): Promise<string[] | undefined> {
  const {binary, env, scratchDir, timeoutMs = 20_000} = options
  let folder: string | undefined
  let fd: number | undefined
  try {
    folder = mkdtempSync(join(scratchDir, 'catalog-'))
    const file = join(folder, 'answer')
    fd = openSync(file, 'w', 0o600)
    const result = await execa(binary, reader.arguments, {
      cwd: directory,
      env: {...env(directory)},
      extendEnv: false,
      reject: false,
      buffer: false,
      stdin: 'ignore',
      stdout: asDescriptor(fd),
      stderr: 'ignore',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    return result.failed ? undefined : reader.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
    if (folder) rmSync(folder, {recursive: true, force: true})
  }
}

const suggest = (names: string[]) => (names.length > 0 ? [`Did you mean ${names.join(', ')}?`] : [])

const unknownModel = (model: string, known: readonly string[]) => {
  const close = nearest(model, known)
  return new ExpectedError(`OpenCode has no model ${model}${close.length > 0 ? `; near: ${close.join(', ')}` : ''}`, {
    code: 'UNKNOWN_MODEL',
    exit: 'usage',
    suggestions: [...suggest(close), 'Run `opencode models` in the codebase for the models there are'],
  })
}

const unknownAgent = (agent: string, known: readonly string[]) => {
  const close = nearest(agent, known)
  const message = `OpenCode has no agent ${agent} that takes tasks (subagents do not)`
  return new ExpectedError(close.length > 0 ? `${message}; near: ${close.join(', ')}` : message, {
    code: 'UNKNOWN_AGENT',
    exit: 'usage',
    suggestions: [...suggest(close), `It has ${known.slice(0, 20).join(', ')}`],
  })
}
