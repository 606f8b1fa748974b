import {readdirSync, readFileSync} from 'node:fs'
import {basename, join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {AgentReport, type ProviderWait} from '../opencode/output/agent-report.ts'
import {OpenCodeLog} from '../opencode/output/opencode-log.ts'
import {type LockPlace, removeStaleLocks} from '../opencode/program/stale-locks.ts'
import type {AgentState} from '../protocol/agent-state.ts'
import {agentState} from './agent-state.ts'
import type {RunRequest} from './executor.ts'
import type {ProcessIdentity} from './processes/processes.ts'
import {runFiles} from './spool/file-names.ts'
import {growingFile, type GrowingFile} from './spool/growing-file.ts'
import {ageMs, descendantsOf, isAlive, linkOf} from './processes/processes.ts'
import {agentAgeMs} from './agent-age.ts'
import {pidsBelow} from './processes/run-groups.ts'
import {createWorkMeter} from './processes/work-meter.ts'

/** What an agent does apart from what it prints. Times in monotonic ms. */
export type AgentSigns = {
  /** When something other than its output last showed that it works. */
  workedAt: number | undefined
  /** Whether a process works for an open tool call. */
  isToolRunning: boolean
  wait: ProviderWait | undefined
  state: AgentState
}

export type AgentSignsOptions = {
  request: Pick<RunRequest, 'runDir' | 'cwd' | 'title' | 'sessionId'>
  root: ProcessIdentity
  clock: Clock
  /** Until the first event, locks of ended processes are removed here. */
  locks?: LockPlace | undefined
}

/** Start times of processes are exact to 10 ms, and a call is reported a moment after it began. */
const inexactMs = 100

const foreignLocksMs = 5000

export type AgentSignsReader = ReturnType<typeof createAgentSigns>

/**
 * Reads the signs of an agent: its own report (`opencode/program/reporter.ts`), OpenCode's log, and its processes. All
 * of them are there for an adopted agent too.
 */
export function createAgentSigns({request, root, clock, locks}: AgentSignsOptions) {
  const report = new AgentReport()
  const reportFile = growingFile(join(request.runDir, runFiles.report), (line) => report.add(line))
  const startedAt = clock.now() - agentAgeMs(root, request.runDir, clock)
  let log: OpenCodeLog | undefined
  let logFile: GrowingFile | undefined
  let members: ProcessIdentity[] = []
  let stepStartedAt: number | undefined
  let stepEndedAt: number | undefined
  let workedAt: number | undefined
  const hasWorked = createWorkMeter(clock)
  const seenAt = new Map<number, number>()

  const readLog = (sessionId: string | null) => {
    if (!log) {
      const path = [root, ...members].map(({pid}) => logOf(pid)).find((found) => found !== undefined)
      if (path === undefined) return false
      const isShared = basename(path) === 'opencode.log'
      const reading = new OpenCodeLog({directory: request.cwd, title: request.title, startedAt}, {isShared})
      log = reading
      logFile = growingFile(path, (line) => reading.add(line))
    }
    log.sessionId = sessionId ?? request.sessionId
    const before = log.works
    logFile?.read()
    return log.works > before
  }

  /** For another user this needs a process, so it is done less often. */
  let looksAtLocksAt = 0
  const removeLocks = () => {
    if (locks === undefined || clock.monotonic() < looksAtLocksAt) return
    looksAtLocksAt = clock.monotonic() + (locks.user ? foreignLocksMs : 0)
    removeStaleLocks(locks)
  }

  /** Scans again. Descendants that were reparented still count. */
  const updateMembers = () => {
    if (root.cgroup !== undefined) {
      members = membersOf(root)
      for (const {pid} of members) if (!seenAt.has(pid)) seenAt.set(pid, clock.now())
      return
    }
    const before = members.filter((member) => isAlive(member))
    const below = descendantsOf([root, ...before])
    const known = new Set(below.map(({pid}) => pid))
    members = [...below, ...before.filter(({pid}) => !known.has(pid))]
  }

  /** When a process was started, or was seen first if /proc hides it. Unix ms. */
  const startOf = (member: ProcessIdentity) => seenAt.get(member.pid) ?? clock.now() - ageMs(member)

  /** Processes that an ended call has left in the background are older than all open calls. */
  const workers = () => {
    const since = report.isPresent ? report.processesSince : (stepEndedAt ?? 0)
    if (since === undefined) return []
    return members.filter((member) => startOf(member) >= since - inexactMs)
  }

  /** Lines without a time have just been printed. */
  const timeOf = (at: number) => (at >= startedAt - inexactMs ? at : clock.now())

  return {
    /** `hasPrinted`: there was an event. Before that, any work of any process counts. */
    read({hasPrinted, sessionId}: {hasPrinted: boolean; sessionId: string | null}): AgentSigns {
      updateMembers()
      if (!hasPrinted) removeLocks()
      const isReporting = reportFile.read()
      const isLogging = readLog(sessionId)
      const isWorking = !hasPrinted && hasWorked(root.cgroup === undefined ? [root, ...members] : [root])
      if (isReporting || isLogging || isWorking) workedAt = clock.monotonic()
      const wait = report.tellsWaits ? report.wait : log?.wait
      const working = workers()
      const processes = working.slice(0, 1).map((member) => ({
        command: commandOf(member.pid),
        since: Math.round(startOf(member)),
      }))
      const state = agentState({report, startedAt, hasPrinted, stepStartedAt, stepEndedAt, processes})
      return {workedAt, isToolRunning: working.length > 0, wait, state}
    },
    /** The permission that a subagent asks for. Its request does not reach the client of the protocol. */
    askedBySubagent: (sessionId: string) => report.askedBeside(sessionId),
    updateMembers,
    /** All processes that were descendants of the agent. */
    members: () => members,
    onStepStart(at: number) {
      stepStartedAt = timeOf(at)
    },
    /** A step of the agent has ended at this time (Unix ms), and with it all its tool calls. */
    onStepEnd(at: number) {
      stepEndedAt = timeOf(at)
    },
    /** What the agent waits for, for people. */
    describe(): string {
      const {openTools} = report
      const commands = (openTools.length > 0 ? workers() : members).map(({pid}) => commandOf(pid)).filter(Boolean)
      const parts = [
        ...(openTools.length > 0 ? [`its open tool calls: ${openTools.join(', ')}`] : []),
        ...(commands.length > 0 ? [`its processes: ${[...new Set(commands)].slice(0, 3).join(', ')}`] : []),
        ...(log?.tail ? [`the end of its log:\n${log.tail}`] : []),
      ]
      return parts.join('; ')
    },
  }
}

/** The log file that the process writes to. OpenCode opens it a moment after its start. */
function logOf(pid: number): string | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .map((fd) => linkOf(pid, `fd/${fd}`))
      .find((path) => /\/opencode\/log\/[^/]+\.log$/.test(path))
  } catch {
    return undefined
  }
}

/** The other processes in the control group of an agent that /proc hides. */
const membersOf = ({pid, cgroup = ''}: ProcessIdentity): ProcessIdentity[] =>
  pidsBelow(cgroup)
    .filter((other) => other !== pid)
    .map((other) => ({pid: other, startTime: '', cgroup}))

const maxCommandChars = 80

function commandOf(pid: number): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
    return words.length > maxCommandChars ? `${words.slice(0, maxCommandChars - 1)}…` : words
  } catch {
    return ''
  }
}
