import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {installedAgents} from '../agents/installed-agents.ts'
import type {Environment} from '../config/file.ts'
import type {Config} from '../config/settings.ts'
import type {Clock} from '../core/clock.ts'
import {ExpectedError} from '../core/errors.ts'
import {agentModels} from '../executor/ways/agent-models.ts'

export type ModelsOfAgentOptions = {
  config: Config
  stateDir: string
  cwd: string
  env: Environment
  clock: Clock
  signal: AbortSignal
}

/** The models of an agent besides OpenCode, by its name. Throws ExpectedError: it is not installed, or cannot be asked. */
export async function modelsOfAgent(
  name: string,
  {config, stateDir, cwd, env, clock, signal}: ModelsOfAgentOptions,
): Promise<{id: string; name: string; provider: string}[]> {
  const {installed} = installedAgents(config.agents, env)
  const agent = installed.find((one) => one.name === name)
  if (!agent)
    throw new ExpectedError(
      `there is no agent ${JSON.stringify(name)} on this machine; there are ${['opencode', ...installed.map((one) => one.name)].join(', ')}`,
      {code: 'AGENT_NOT_FOUND', exit: 'config', suggestions: ['Install it, or define it in the setting `agents`']},
    )
  if (agent.kind === 'command') return []
  const scratchDir = join(stateDir, 'scratch')
  mkdirSync(scratchDir, {recursive: true, mode: 0o700})
  const launch = {env, allow: config.env_allow}
  const models = await agentModels(agent, {launch, scratchDir, cwd, clock, signal})
  return models.map((model) => ({...model, provider: name}))
}
