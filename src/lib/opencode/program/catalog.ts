import {ExpectedError} from '../../core/errors.ts'
import {nearestNames} from '../../core/text/nearest.ts'
import {type CatalogOptions, type NameLists, type NameReader, createNameLists, freshMs, missMs} from './name-lists.ts'

/** The models and agents that OpenCode has in a directory. Both depend on the configuration of the project. */
export type Catalog = {
  /** Undefined if OpenCode could not be queried. */
  models(directory: string): Promise<readonly string[] | undefined>
  /** Agents that can run tasks. Subagents cannot. */
  agents(directory: string): Promise<readonly string[] | undefined>
  /**
   * Rejects if OpenCode does not have the model. Returns undefined at once if it is known to have it. Resolves with false
   * if OpenCode could not be queried.
   */
  checkModel(model: string, directory: string): Promise<boolean> | undefined
  checkAgent(agent: string, directory: string): Promise<boolean> | undefined
}

/** Known to exist. Listing agents takes a start of OpenCode, some seconds. */
const builtInAgents = new Set(['build', 'plan'])

const modelReader: NameReader = {
  arguments: ['models'],
  parse: (text) =>
    text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => /^[^\s/]+\/\S/.test(line)),
}

const agentReader: NameReader = {
  arguments: ['agent', 'list'],
  parse: (text) => [...text.matchAll(/^(\S.*?) \((?:primary|all)\)$/gm)].map((match) => match[1] ?? ''),
}

/** Queries OpenCode when first needed, and caches each answer for ten minutes. */
export function createCatalog(options: CatalogOptions): Catalog {
  const models = createNameLists(modelReader, options)
  const agents = createNameLists(agentReader, options)
  return {
    models: async (directory) => (await models.get(directory, freshMs))?.names,
    agents: async (directory) => (await agents.get(directory, freshMs))?.names,
    checkModel: (model, directory) =>
      models.has(model, directory) ? undefined : check(models, model, directory, unknownModel),
    checkAgent: (agent, directory) =>
      builtInAgents.has(agent) || agents.has(agent, directory)
        ? undefined
        : check(agents, agent, directory, unknownAgent),
  }
}

async function check(
  lists: NameLists,
  name: string,
  directory: string,
  problem: (name: string, known: readonly string[]) => ExpectedError,
): Promise<boolean> {
  const list = (await lists.get(directory, freshMs)) && (await lists.get(directory, missMs, name))
  // An empty list proves nothing. OpenCode itself then reports what is wrong.
  if (list && list.names.length > 0 && !list.names.includes(name)) throw problem(name, list.names)
  return list !== undefined
}

const suggest = (names: string[]) => (names.length > 0 ? [`Did you mean ${names.join(', ')}?`] : [])

const unknownModel = (model: string, known: readonly string[]) => {
  const close = nearestNames(model, known)
  const near = close.length > 0 ? `; near: ${close.join(', ')}` : ''
  const message = `OpenCode has no model ${model}${near}; unknown_model: default would run the task with its default`
  return new ExpectedError(message, {
    code: 'UNKNOWN_MODEL',
    exit: 'usage',
    suggestions: [...suggest(close), 'Run `opencode models` in the codebase for the models there are'],
  })
}

const unknownAgent = (agent: string, known: readonly string[]) => {
  const close = nearestNames(agent, known)
  const message = `OpenCode has no agent ${agent} that takes tasks (subagents do not)`
  return new ExpectedError(close.length > 0 ? `${message}; near: ${close.join(', ')}` : message, {
    code: 'UNKNOWN_AGENT',
    exit: 'usage',
    suggestions: [...suggest(close), `It has ${known.slice(0, 20).join(', ')}`],
  })
}
