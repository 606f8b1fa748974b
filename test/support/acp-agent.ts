import {fileURLToPath} from 'node:url'
import {systemClock} from '../../src/lib/core/clock.ts'
import {acpWay, type AskPolicy} from '../../src/lib/executor/acp-way.ts'
import {type AgentExecutorOptions, createAgentExecutor} from '../../src/lib/executor/agent-executor.ts'
import type {Executor} from '../../src/lib/executor/executor.ts'

/** A strict, scripted agent of the Agent Client Protocol. Its prompts are its script. */
export const acpAgent = fileURLToPath(new URL('../fixtures/acp-agent.mjs', import.meta.url))

export type ScriptedAcpOptions = Partial<AgentExecutorOptions> & {
  /** See the fixture. */
  behaviour?: string
  log?: string
  policy?: Partial<AskPolicy>
}

/** The executor of the protocol with the scripted agent. `home` is a folder. */
export function acpExecutor(home: string, {behaviour = '', log, policy, ...rest}: ScriptedAcpOptions = {}): Executor {
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    ACP_BEHAVIOUR: behaviour,
    ...(log === undefined ? {} : {ACP_LOG: log}),
  }
  const way = acpWay({
    name: 'the scripted agent',
    binary: acpAgent,
    plan: async ({model}) => ({args: [], model}),
    allow: ['ACP_*'],
    policy: {permissions: 'allow', askMs: 0, ...policy},
    usesPlugin: false,
  })
  return createAgentExecutor(way, {env, allow: [], clock: systemClock, ...rest})
}
