import {existsSync, rmSync, statSync} from 'node:fs'
import {join} from 'node:path'
import type {AgentWay, ConversationOptions} from './agent-executor.ts'
import {append, openFiles} from './run-files.ts'
import {runFiles} from './spool/file-names.ts'
import {createStdin, stdinOfAgent} from './acp/agent-stdin.ts'
import {driveAgent} from './acp/drive-agent.ts'
import {countEvents} from './acp/event-file.ts'
import {type AgentStart, SentLog} from './acp/sent-log.ts'

/** What becomes of requests for permission, and how long a question waits. Read at each start. */
export type AskPolicy = {readonly permissions: AgentStart['permissions']; readonly askMs: number}

export type AcpWayOptions = Pick<AgentWay, 'name' | 'plan' | 'usesPlugin'> & {
  readonly binary: string
  readonly allow?: readonly string[]
  readonly locks?: () => string | undefined
  readonly policy: AskPolicy
}

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

function begin({request, model, clock, observer, hasReporter}: ConversationOptions, {name, policy}: AcpWayOptions) {
  const {runDir, cwd, sessionId = null, agent, prompt} = request
  const earlier = SentLog.read(runDir)
  const log = SentLog.begin(runDir, {
    ...{name, cwd, sessionId, model: model ?? null, mode: agent, hasReporter},
    ...{permissions: policy.permissions, askMs: policy.askMs},
    messagesFrom: sizeOf(join(runDir, runFiles.messages)),
    eventsBefore: countEvents(join(runDir, runFiles.stdout)),
    process: (earlier?.start.process ?? 0) + 1,
  })
  return (stderrFrom: number) => driveAgent({runDir, prompt, log, clock, observer, stderrFrom})
}

const sizeOf = (path: string) => (existsSync(path) ? statSync(path).size : 0)
