import {rmSync} from 'node:fs'
import {join} from 'node:path'
import {type LoadOptions, untilLoadable} from '../../agents/gemini-sessions.ts'
import type {InstalledAgent} from '../../agents/installed-agents.ts'
import type {AgentWay, ConversationOptions} from '../agent-way.ts'
import type {RunRequest} from '../executor.ts'
import {append, openFiles} from '../run-files.ts'
import {runFiles} from '../spool/file-names.ts'
import {createStdin, stdinOfAgent} from '../acp/agent-stdin.ts'
import {beginLog, type NewStart} from '../acp/begin-log.ts'
import {driveAgent} from '../acp/drive-agent.ts'
import type {AgentStart} from '../acp/sent-log.ts'

/** How a conversation is led. Read at each start. */
export type ConversationPolicy = {
  /** What becomes of requests for permission. */
  readonly permissions: AgentStart['permissions']
  /** How long a question waits, in ms; 0 means no limit. */
  readonly askMs: number
  /** A model that the agent does not have is replaced by its default. Default: the task fails. */
  readonly fallsBack?: boolean
}

export type AcpWayOptions = Pick<AgentWay, 'name' | 'plan' | 'usesPlugin' | 'locks'> & {
  /** Name of the agent in tasks. */
  program: string
  readonly binary: string
  readonly allow?: readonly string[]
  readonly policy: ConversationPolicy
  /** The mode of tasks that name none. */
  mode?: string | undefined
}

/** The mode that tasks name if nobody has chosen one. */
const usualMode = 'build'

/**
 * An agent that speaks the Agent Client Protocol. Its standard input is a named pipe that it holds open itself, and its
 * standard output is a file. So it outlives its worker, and another worker process can go on with it.
 */
export const acpWay = (options: AcpWayOptions): AgentWay => ({
  name: options.name,
  get binary() {
    return options.binary
  },
  get allow() {
    return options.allow ?? []
  },
  plan: (request) => options.plan(request),
  locks: () => options.locks?.(),
  usesPlugin: options.usesPlugin,
  open(runDir) {
    const pipe = join(runDir, runFiles.stdin)
    // What an earlier process of the run has not read is not for this one.
    rmSync(pipe, {force: true})
    createStdin(pipe)
    return openFiles(runDir, {stdin: [runFiles.stdin, stdinOfAgent], stdout: [runFiles.messages, append]})
  },
  converse: (conversation) => begin(conversation, options),
})

function begin(
  {request, model, clock, observer, hasReporter}: ConversationOptions,
  {program, name, policy, mode = usualMode}: AcpWayOptions,
) {
  const {runDir, cwd, sessionId = null, agent, prompt} = request
  const start: NewStart = {
    ...{kind: 'acp', program, name, cwd, sessionId, model: model ?? null, hasReporter},
    ...{mode: agent === usualMode ? mode : agent, agentDir: runDir, prefix: '', announced: null},
    ...startPolicy(request, policy),
  }
  const log = beginLog(runDir, start, clock.now())
  return () => driveAgent({runDir, prompt, log, clock, observer})
}

/** An agent that a person has installed besides OpenCode. */
export const installedAcpWay = (
  agent: InstalledAgent,
  policy: Pick<ConversationPolicy, 'askMs'>,
  place: Pick<LoadOptions, 'env' | 'clock'>,
): AgentWay =>
  acpWay({
    ...{program: agent.name, name: agent.name, binary: agent.binary, allow: agent.envAllow, usesPlugin: false},
    mode: agent.mode,
    policy: {
      permissions: agent.permissions,
      get askMs() {
        return policy.askMs
      },
    },
    async plan({model, sessionId, onNotice}) {
      const onWait = (ms: number) =>
        onNotice?.(
          `${agent.name} cannot load a session in the minute of its creation: the task waits ${Math.ceil(ms / 1000)} s`,
        )
      await untilLoadable(agent.binary, {...place, sessionId, onWait})
      return {args: agent.command.slice(1), model: model?.trim() || agent.model}
    },
  })

/** What a policy means for a run. Where nobody can be asked, the answer is no. */
export const startPolicy = (
  {canAsk = true}: RunRequest,
  {permissions, askMs, fallsBack = false}: ConversationPolicy,
): Pick<AgentStart, 'permissions' | 'askMs' | 'fallsBack'> => ({
  permissions: permissions === 'ask' && !canAsk ? 'deny' : permissions,
  askMs,
  fallsBack,
})
