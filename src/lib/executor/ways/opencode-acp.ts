import {defaultProgram} from '../../protocol/agent-program.ts'
import {normalizeModel} from '../../opencode/program/command.ts'
import {lockFolder} from '../../opencode/program/stale-locks.ts'
import type {AgentWay} from '../agent-way.ts'
import {acpWay, type ConversationPolicy} from './acp-way.ts'

export type OpenCodeAcpOptions = {
  readonly binary: string
  env: NodeJS.ProcessEnv
  readonly policy: ConversationPolicy
}

/** `opencode acp`, of OpenCode 1 and 2. Its sessions tell which models and agents it has: it is not asked before. */
export const openCodeAcpWay = (options: OpenCodeAcpOptions): AgentWay =>
  acpWay({
    program: defaultProgram,
    name: 'OpenCode',
    get binary() {
      return options.binary
    },
    get policy() {
      return options.policy
    },
    plan: async ({model}) => ({args: ['acp'], model: normalizeModel(model)}),
    locks: () => lockFolder(options.env),
    usesPlugin: true,
  })
