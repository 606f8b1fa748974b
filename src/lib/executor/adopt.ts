import {statSync} from 'node:fs'
import {join} from 'node:path'
import type {AgentUser} from '../opencode/program/agent-user.ts'
import type {Clock} from '../core/clock.ts'
import type {RunObserver, RunRequest, RunningAgent} from './executor.ts'
import type {ProcessIdentity} from './processes/processes.ts'
import {driveCommand} from './acp/command-drive.ts'
import {type Drive, driveAgent} from './acp/drive-agent.ts'
import {SentLog} from './acp/sent-log.ts'
import {promptOf} from './run-files.ts'
import {agentAgeMs} from './agent-age.ts'
import {runFiles} from './spool/file-names.ts'
import {isAlive} from './processes/processes.ts'
import {recordedGroup} from './processes/run-groups.ts'
import {superviseAgent} from './supervise-agent.ts'

export type AdoptOptions = {
  request: RunRequest
  observer: RunObserver
  clock: Clock
  /** The user that its processes run as, if it is another one. */
  user?: AgentUser | undefined
  /** The agent's process, as `onSpawned` reported it. */
  root: ProcessIdentity
}

/** The agent is not our child, so its end is found by polling. */
const pollMs = 100

/**
 * Adopts an agent that an earlier worker process started since the last boot of this machine. If the agent has ended
 * meanwhile, it is judged by its output. Its deadlines count from its start.
 */
export function adoptRun({request, observer, clock, root, user}: AdoptOptions): RunningAgent {
  const stop = new AbortController()
  const log = SentLog.read(request.runDir)
  const drive = log && continueDrive({request, log, clock, observer})
  const exited = (async () => {
    while (isAlive(root)) await clock.sleep(pollMs)
    return undefined
  })()
  const place = log && {runDir: log.start.agentDir, marker: request.marker}
  const supervised = superviseAgent({
    request,
    place,
    observer,
    clock,
    root,
    exited,
    startedAt: clock.monotonic() - ageOfRun(log, agentAgeMs(root, place?.runDir ?? request.runDir, clock), clock),
    printedAt: hasPrinted(request.runDir) ? clock.monotonic() : undefined,
    model: request.model,
    stop: stop.signal,
    spoolFrom: 0,
    stderrFrom: log?.start.stderrFrom ?? 0,
    ...{group: recordedGroup(request.marker, place?.runDir ?? request.runDir), user},
    ...(log ? {name: log.start.name, drive} : {name: 'OpenCode'}),
  })
  return {
    outcome: supervised.then(({outcome}) => outcome),
    stop: (reason) => stop.abort(reason),
    ...(drive?.takesInputs ? {give: (input) => drive.give(input)} : {}),
  }
}

/** Existing output counts as printed now. Only the wall clock knows when it was printed, and that can be set. */
function hasPrinted(runDir: string): boolean {
  const spool = statSync(join(runDir, runFiles.stdout), {throwIfNoEntry: false})
  return spool !== undefined && spool.size > 0
}

/** The age of a run is that of its agent, unless the agent was there before. In ms. */
function ageOfRun(log: SentLog | undefined, agentAge: number, clock: Clock): number {
  if (!log) return agentAge
  return Math.min(agentAge, Math.max(0, clock.now() - log.start.startedAt))
}

function continueDrive({
  request: {runDir},
  log,
  clock,
  observer,
}: Pick<AdoptOptions, 'request' | 'clock' | 'observer'> & {log: SentLog}): Drive {
  if (log.start.kind === 'command') return driveCommand(runDir, log, clock.now)
  // The prompt of the run, not the one that would continue its session.
  return driveAgent({runDir, prompt: promptOf(runDir), log, clock, observer})
}
