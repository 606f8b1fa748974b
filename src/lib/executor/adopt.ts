import {readFileSync, statSync} from 'node:fs'
import {join} from 'node:path'
import type {AgentUser} from '../opencode/program/agent-user.ts'
import type {Clock} from '../core/clock.ts'
import type {RunObserver, RunRequest, RunningAgent} from './executor.ts'
import type {ProcessIdentity} from './processes/processes.ts'
import {driveAgent} from './acp/drive-agent.ts'
import {SentLog} from './acp/sent-log.ts'
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
  // The prompt of the run, not the one that would continue its session.
  const prompt = log && readFileSync(join(request.runDir, runFiles.prompt), 'utf8')
  const drive =
    log && prompt !== undefined
      ? driveAgent({runDir: request.runDir, prompt, log, clock, observer, stderrFrom: 0})
      : undefined
  const exited = (async () => {
    while (isAlive(root)) await clock.sleep(pollMs)
    return undefined
  })()
  const supervised = superviseAgent({
    request,
    observer,
    clock,
    root,
    exited,
    startedAt: clock.monotonic() - agentAgeMs(root, request.runDir, clock),
    printedAt: hasPrinted(request.runDir) ? clock.monotonic() : undefined,
    model: request.model,
    stop: stop.signal,
    spoolFrom: 0,
    stderrFrom: 0,
    ...{group: recordedGroup(request.marker, request.runDir), user},
    ...(log ? {name: log.start.name, drive} : {name: 'OpenCode'}),
  })
  return {
    outcome: supervised.then(({outcome}) => outcome),
    stop: (reason) => stop.abort(reason),
    ...(drive ? {give: (input) => drive.give(input)} : {}),
  }
}

/** Existing output counts as printed now. Only the wall clock knows when it was printed, and that can be set. */
function hasPrinted(runDir: string): boolean {
  const spool = statSync(join(runDir, runFiles.stdout), {throwIfNoEntry: false})
  return spool !== undefined && spool.size > 0
}
