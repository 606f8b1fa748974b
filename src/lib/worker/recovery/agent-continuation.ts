import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import {adoptRun} from '../../executor/adopt.ts'
import {agentLabel} from '../../protocol/agent-program.ts'
import {programOf} from '../../executor/acp/complete-events.ts'
import type {Executor, RunningAgent, RunObserver} from '../../executor/executor.ts'
import type {ProcessIdentity} from '../../executor/processes/processes.ts'
import {bootId} from '../../executor/processes/processes.ts'
import type {Journal} from '../../journal/journal.ts'
import type {AgentUser} from '../../opencode/program/agent-user.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'
import type {DiskMonitor} from '../disk/disk-monitor.ts'
import {deadlinesOf, maxOutputBytesOf} from '../run/run-request.ts'

type ContinuationOptions = {
  journal: Journal
  emit: Emit
  clock: Clock
  config: Config
  executor: Executor
  disk: Pick<DiskMonitor, 'wasFullSince'>
  user: AgentUser | undefined
}

const continuationPrompt =
  'The work on this task was interrupted because the program that runs you was ended. Check what is done already, then continue and finish the task.'

function requestOf(run: JournalledRun, {config, clock, disk}: ContinuationOptions) {
  const startedAt = clock.monotonic()
  return {
    taskId: run.task_id,
    attempt: run.attempt,
    title: run.title,
    prompt: continuationPrompt,
    agent: run.agent,
    program: programOf(run.run_dir),
    model: run.model ?? undefined,
    cwd: run.path,
    runDir: run.run_dir,
    marker: run.marker,
    deadlines: deadlinesOf(config),
    maxOutputBytes: maxOutputBytesOf(config),
    wasDiskFull: () => disk.wasFullSince(startedAt),
  }
}

/** Supervises the live agent of an earlier process from now on. */
function adoptAgent(
  run: JournalledRun,
  agent: ProcessIdentity,
  observer: RunObserver,
  options: ContinuationOptions,
): RunningAgent {
  const {clock, journal, emit} = options
  if (run.pid === null) journal.spawned(run, agent.pid, agent.startTime)
  const {task_id: taskId, attempt, title, path} = run
  const label = agentLabel(programOf(run.run_dir), run.agent)
  emit({type: 'task.started', taskId, attempt, title, path, agent: label, pid: agent.pid})
  return adoptRun({request: requestOf(run, options), observer, clock, root: agent, user: options.user})
}

/** Starts an agent that continues the session of one that died. */
async function resumeSession(
  run: JournalledRun,
  sessionId: string | null,
  observer: RunObserver,
  options: ContinuationOptions,
): Promise<RunningAgent> {
  options.journal.resumed(run, bootId() ?? '')
  const request = {...requestOf(run, options), sessionId: sessionId ?? undefined, continues: true}
  const prepared = await options.executor.prepare(request)
  return await prepared.start(observer)
}

/** Both functions return the `start` of a run setup. */
export type AgentContinuation = {
  adopt: (run: JournalledRun, agent: ProcessIdentity) => (observer: RunObserver) => Promise<RunningAgent>
  resume: (run: JournalledRun, sessionId: string | null) => (observer: RunObserver) => Promise<RunningAgent>
}

export const agentContinuation = (options: ContinuationOptions): AgentContinuation => ({
  adopt: (run, agent) => async (observer) => adoptAgent(run, agent, observer, options),
  resume: (run, sessionId) => (observer) => resumeSession(run, sessionId, observer, options),
})
