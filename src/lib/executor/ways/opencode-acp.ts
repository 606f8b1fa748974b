import {defaultProgram} from '../../agents/definitions.ts'
import {normalizeModel} from '../../opencode/program/command.ts'
import {lockFolder} from '../../opencode/program/stale-locks.ts'
import {type AgentExecutorOptions, type AgentWay, createAgentExecutor} from '../agent-executor.ts'
import {checkAgent, checkedModel} from './check-request.ts'
import type {Executor} from '../executor.ts'
import type {OpenCodeOptions} from './run-way.ts'
import {acpWay, type AskPolicy} from './acp-way.ts'

export type OpenCodeAcpOptions = OpenCodeOptions & {readonly policy: AskPolicy}

/** `opencode acp`, of OpenCode 1 and 2. */
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
    async plan(request) {
      await checkAgent(options.catalog, request)
      return {args: ['acp'], model: await checkedModel(normalizeModel(request.model), options, request)}
    },
    locks: () => lockFolder(options.env),
    usesPlugin: true,
  })

/** Creates the executor that runs each task in its own `opencode acp`. */
export const createOpenCodeAcpExecutor = (options: OpenCodeAcpOptions & AgentExecutorOptions): Executor =>
  createAgentExecutor(openCodeAcpWay(options), options)
