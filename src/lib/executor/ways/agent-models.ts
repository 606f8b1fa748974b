import {mkdirSync, mkdtempSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import type {InstalledAgent} from '../../agents/installed-agents.ts'
import {readMessage} from '../../acp/message.ts'
import type {Clock} from '../../core/clock.ts'
import {ExpectedError, messageOf} from '../../core/errors.ts'
import {openStdin} from '../acp/agent-stdin.ts'
import {beginLog} from '../acp/begin-log.ts'
import {AgentChannel, ChannelClosed} from '../acp/channel.ts'
import {askForModels, type OfferedValue} from '../acp/converse.ts'
import type {RunRequest} from '../executor.ts'
import {launchAgent, type Launched, type LaunchOptions} from '../launch-agent.ts'
import {endProcesses} from '../processes/kill-tree.ts'
import {runFiles} from '../spool/file-names.ts'
import {readLines} from '../spool/read-lines.ts'
import {readTail} from '../spool/read-tail.ts'
import {lastLines} from '../../opencode/output/tail.ts'
import {installedAcpWay} from './acp-way.ts'

export type AgentModelsOptions = {
  launch: LaunchOptions
  /** An existing folder for the files of its process. */
  scratchDir: string
  cwd: string
  clock: Clock
  signal: AbortSignal
}

/** A login, or a server of tools that is slow to start, may take this long, in ms. */
const limitMs = 60_000

/**
 * Starts an agent, asks which models its sessions can have, and ends it. Nothing is asked of a model. Throws
 * ExpectedError (78): it cannot be asked, with its reason.
 */
export async function agentModels(
  agent: InstalledAgent,
  options: AgentModelsOptions,
): Promise<readonly OfferedValue[]> {
  const runDir = mkdtempSync(join(options.scratchDir, 'models-'))
  mkdirSync(join(runDir, runFiles.tmp))
  const stop = new AbortController()
  const giveUp = () => stop.abort()
  options.signal.addEventListener('abort', giveUp, {once: true})
  let launched: Launched | undefined
  try {
    const way = installedAcpWay(agent, {askMs: 0}, {env: options.launch.env, clock: options.clock})
    const request = requestOf(agent, runDir, options.cwd)
    const {args} = await way.plan(request)
    const start = {request, way, args, tmpDir: join(runDir, runFiles.tmp)}
    const observer = {onSpawned: () => {}}
    launched = await launchAgent({...start, observer, prepareConversation: () => {}}, options.launch)
    return await ask(agent, runDir, {...options, stop: stop.signal, exited: launched.exited})
  } catch (error) {
    throw new ExpectedError(`${agent.name} does not tell its models: ${messageOf(error)}`, {
      ...{code: 'AGENT_MODELS', exit: 'config', cause: error},
      suggestions: [`Try the agent by itself: ${agent.command.join(' ')}`],
    })
  } finally {
    options.signal.removeEventListener('abort', giveUp)
    stop.abort()
    if (launched) {
      const {identity: root, group} = launched
      await endProcesses({root, marker: markerOf(runDir), runDir, seen: [], graceMs: 500, clock: options.clock, group})
      group?.remove()
    }
    rmSync(runDir, {recursive: true, force: true})
  }
}

type Asking = AgentModelsOptions & {stop: AbortSignal; exited: Promise<unknown>}

async function ask(agent: InstalledAgent, runDir: string, {cwd, clock, stop, exited}: Asking) {
  const log = beginLog(
    runDir,
    {
      ...{kind: 'acp', program: agent.name, name: agent.name, cwd, sessionId: null, model: null, mode: null},
      ...{permissions: 'deny', askMs: 0, fallsBack: false, hasReporter: false},
      ...{agentDir: runDir, prefix: '', announced: null},
    },
    clock.now(),
  )
  using stdin = openStdin(join(runDir, runFiles.stdin), clock)
  const channel = new AgentChannel(log, stdin, stop)
  const onLine = (line: string | undefined) => channel.receive(readMessage(line))
  void readLines({path: join(runDir, runFiles.messages), from: 0, ended: stop, onLine}).catch(() => {})
  const early = async (why: string) => {
    const said = lastLines(readTail(join(runDir, runFiles.stderr), 0))
    throw new Error([why, said].filter(Boolean).join(': '))
  }
  return await Promise.race([
    askForModels(channel, log.start).catch((error: unknown) => {
      if (!(error instanceof ChannelClosed)) throw error
      return early(endedEarly)
    }),
    exited.then(() => early(endedEarly)),
    clock.sleep(limitMs, stop).then(() => early(`it did not answer within ${limitMs / 1000} s`)),
  ])
}

const endedEarly = 'it ended before it answered'

const markerOf = (runDir: string) => `models:${runDir}`

const requestOf = (agent: InstalledAgent, runDir: string, cwd: string): RunRequest => ({
  ...{taskId: 'models', attempt: 0, title: 'models', prompt: '', agent: 'build', program: agent.name},
  ...{cwd, runDir, marker: markerOf(runDir)},
  deadlines: {startup: 0, idle: 0, tool: 0, total: 0, provider: 0, grace: 500},
})
