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

/** The oldest version whose tasks have had the same outcomes in both ways (`npm run proof:parity`), and its series. */
const proved = {major: 1, minor: 18, patch: 33}

/** Whether tasks of this version end alike with `opencode run` and over the protocol. */
export function hasOutcomeParity({version}: {version: string}): boolean {
  const [major, minor, patch] = version.split('.').map((part) => Number.parseInt(part, 10))
  return major === proved.major && minor === proved.minor && (patch ?? 0) >= proved.patch
}
