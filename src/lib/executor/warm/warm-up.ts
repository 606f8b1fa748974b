import {existsSync, readdirSync, rmSync, writeFileSync} from 'node:fs'
import {basename, join} from 'node:path'
import {fieldsOf, requestIdsOf, textOf} from '../../acp/message.ts'
import {readIfThere} from '../../core/paths/read-if-there.ts'
import {removeStaleLocks} from '../../opencode/program/stale-locks.ts'
import {warmUpTitle} from '../../opencode/program/stand-in.ts'
import {defaultProgram} from '../../protocol/agent-program.ts'
import {beginLog, type NewStart} from '../acp/begin-log.ts'
import {driveAgent} from '../acp/drive-agent.ts'
import {parseJson} from '../../protocol/parse.ts'
import {SentLog} from '../acp/sent-log.ts'
import type {AgentWay} from '../agent-way.ts'
import {locksOf} from '../launch-agent.ts'
import type {RunRequest} from '../executor.ts'
import {runFiles} from '../spool/file-names.ts'
import {standInModel} from './stand-in-model.ts'
import {currentFingerprint, newAgent, startAgent, type WarmExecutorOptions} from './warm-executor.ts'
import type {WarmAgent} from './warm-pool.ts'

export type WarmUpOptions = {
  way: AgentWay
  options: WarmExecutorOptions
  /** Removes the session of the warm-up from the agent's list. Best effort. */
  deleteSession: (id: string, cwd: string) => Promise<void>
  /** How long it may take, in ms. */
  limitMs: number
  /** Aborted when the worker stops. */
  signal: AbortSignal
}

const warmUpPrefix = 'warm-up-'
const prompt = 'Answer with the word OK.'

/**
 * Starts an agent in a codebase before there is a task, and lets it ask the stand-in model once: the first prompt of a
 * process in a folder is what takes time. Resolves with whether an agent waits now. Costs nothing, and leaves no session.
 */
export async function warmUp(
  cwd: string,
  {way, options, deleteSession, limitMs, signal}: WarmUpOptions,
): Promise<boolean> {
  const {pool} = options
  const {clock} = options.launch
  const locks = locksOf(way, options.launch)
  if (locks !== undefined) removeStaleLocks(locks)
  const agent = newAgent(options, cwd, currentFingerprint(way, options, cwd))
  options.standIn?.setTitle(basename(agent.dir), warmUpTitle)
  try {
    await startAgent(agent, requestOf(agent), way, options, {onSpawned: () => {}}, () => {})
  } catch (error) {
    rmSync(agent.dir, {recursive: true, force: true})
    throw error
  }
  writeFileSync(join(agent.dir, runFiles.stdout), '', {mode: 0o600})
  const start: NewStart = {
    ...{kind: 'acp', program: defaultProgram, name: way.name, cwd, sessionId: null, model: standInModel, mode: null},
    ...{permissions: 'deny', askMs: 0, fallsBack: false, hasReporter: agent.hasReporter},
    ...{agentDir: agent.dir, prefix: warmUpPrefix, announced: null},
  }
  const log = beginLog(agent.dir, start, clock.now())
  const quiet = {onQuestions: () => {}, onInput: () => {}, onSession: () => {}, onWarning: () => {}}
  const drive = driveAgent({runDir: agent.dir, prompt, log, clock, observer: quiet})
  await Promise.race([drive.over, agent.exited, clock.sleep(limitMs, signal)])
  const {announced, hasSucceeded, sessionId} = drive
  await drive.finish()
  if (announced) agent.announced = announced
  // Without a stand-in model the agent has at least started.
  const isReady = announced !== undefined && !signal.aborted && (await pool.giveBack(agent))
  if (!isReady) await pool.end(agent)
  if (sessionId !== undefined) await deleteSession(sessionId, cwd)
  forgetWarmUp(agent.dir)
  return isReady && hasSucceeded
}

/** The process itself may run a task by now, or be adopted with it. */
const forgetWarmUp = (dir: string) => rmSync(join(dir, runFiles.sent), {force: true})

/** Removes the sessions of warm-ups whose worker was killed. `agentsDir`: the folder for the folders of agents. */
export async function removeLeftSessions(
  agentsDir: string,
  deleteSession: WarmUpOptions['deleteSession'],
): Promise<void> {
  if (!existsSync(agentsDir)) return
  for (const name of readdirSync(agentsDir)) {
    const dir = join(agentsDir, name)
    const start = SentLog.read(dir)?.start
    if (start?.prefix !== warmUpPrefix) continue
    const sessionId = sessionIn(readIfThere(join(dir, runFiles.messages)) ?? '')
    if (sessionId !== '') await deleteSession(sessionId, start.cwd)
    forgetWarmUp(dir)
  }
}

/** The session that an agent has opened for its warm-up, by what it printed. Empty: none. */
function sessionIn(messages: string): string {
  const {session} = requestIdsOf(warmUpPrefix)
  const answers = messages.split('\n').map((line) => fieldsOf(parseJson(line)))
  return textOf(fieldsOf(answers.find(({id}) => id === session)?.['result'])['sessionId'])
}

const requestOf = ({cwd, dir, marker}: WarmAgent): RunRequest => ({
  ...{taskId: basename(dir), attempt: 0, title: warmUpTitle, prompt, agent: 'build', cwd, runDir: dir, marker},
  deadlines: {startup: 0, idle: 0, tool: 0, total: 0, provider: 0, grace: 1000},
})
