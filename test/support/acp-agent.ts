import {fileURLToPath} from 'node:url'
import {agentDefinitions} from '../../src/lib/agents/definitions.ts'
import {systemClock} from '../../src/lib/core/clock.ts'
import {acpWay, type ConversationPolicy} from '../../src/lib/executor/ways/acp-way.ts'
import {type AgentExecutorOptions, createAgentExecutor} from '../../src/lib/executor/agent-executor.ts'
import type {AgentWay} from '../../src/lib/executor/agent-way.ts'
import {commandWay} from '../../src/lib/executor/ways/command-way.ts'
import type {Executor} from '../../src/lib/executor/executor.ts'

/** A strict, scripted agent of the Agent Client Protocol. Its prompts are its script. */
export const acpAgent = fileURLToPath(new URL('../fixtures/acp-agent.mjs', import.meta.url))

export type ScriptedAcpOptions = Partial<AgentExecutorOptions> & {
  /** See the fixture. */
  behaviour?: string
  log?: string
  policy?: Partial<ConversationPolicy>
  /** The mode of tasks that name none. */
  mode?: string
}

/** The way of the scripted agent. */
export const scriptedWay = (policy: Partial<ConversationPolicy> = {}, mode?: string): AgentWay =>
  acpWay({
    mode,
    ...{program: 'scripted', name: 'the scripted agent', binary: acpAgent, allow: ['ACP_*'], usesPlugin: false},
    plan: async ({model}) => ({args: [], model}),
    policy: {permissions: 'allow', askMs: 0, ...policy},
  })

/** The executor of the protocol with the scripted agent. `home` is a folder. */
export function acpExecutor(
  home: string,
  {behaviour = '', log, policy, mode, ...rest}: ScriptedAcpOptions = {},
): Executor {
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    ACP_BEHAVIOUR: behaviour,
    ...(log === undefined ? {} : {ACP_LOG: log}),
  }
  return createAgentExecutor(scriptedWay(policy, mode), {env, allow: [], clock: systemClock, ...rest})
}

/** The executor of a command without a model. `home` is a folder. */
export function commandExecutor(home: string, command: string | string[], env_allow: string[] = []): Executor {
  const [agent] = agentDefinitions({
    ...{claude: false, codex: false, gemini: false},
    job: {type: 'command', command, env_allow},
  })
  if (!agent) throw new Error('no agent')
  const env = {PATH: process.env['PATH'], HOME: home, JOB_KEY: 'k', OTHER: 'o'}
  const way = commandWay({...agent, binary: agent.command[0]})
  return createAgentExecutor(way, {env, allow: [], clock: systemClock})
}
