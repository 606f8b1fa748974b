import type {Config} from '../../config/settings.ts'
import {limiter} from '../../core/limiter.ts'
import {adoptRun} from '../../executor/adopt.ts'
import type {Executor, ProcessIdentity, RunObserver} from '../../executor/executor.ts'
import {bootId} from '../../executor/processes.ts'
import {survey, type SurveyedProcess} from '../../executor/survey.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'
import type {RunRecord} from '../../opencode/output/record.ts'
import {limits} from '../../protocol/limits.ts'
import {globalCodebase} from '../../protocol/routes.ts'
import {isFinal, type FinalStatus, type StatusUpdate} from '../../protocol/schemas.ts'
import {cursorOf, frozenReport, hasSpool, judged, readSpool} from './examine-run.ts'
import type {Lanes} from '../locks/lanes.ts'
import {endLeftovers, liveAgent, sweep} from './leftovers.ts'
import type {Lock} from '../locks/lock-file.ts'
import type {Registration} from '../registration/registration.ts'
import {keep, seeRun, type ActiveTask, type SeeParts} from '../run/see-run.ts'
import {deadlinesOf, giveBackOf, reportOf} from '../run/task-request.ts'
import type {Slot, TaskRunner} from '../run/task-runner.ts'

export type RecoveryParts = SeeParts & {
  runner: TaskRunner
  lanes: Lanes
  executor: Executor
  config: Config
  registration: Registration
}

/** What becomes of a run that an earlier process of this worker left, and whose agent is not at work. */
type Plan =
  | {do: 'deliver'; report: StatusUpdate} // it is over, only its report was not acknowledged
  | {do: 'judge'; record: RunRecord; error: string} // its agent has ended, or is not to be continued
  | {do: 'resume'; record: RunRecord; lane: Lock} // its agent died with the worker, its session goes on
  | {do: 'requeue'; record: RunRecord; reason: string} // somebody begins again

const continuation =
  'The work on this task was interrupted, as the program that runs you was ended. Look at what is done already, and go on with the task to its end.'

/** So many runs are looked at and reported at once: after a long outage there may be thousands. */
const mostAtOnce = 16

type Turn = ReturnType<typeof limiter>
type Found = {processes: readonly SurveyedProcess[]; turn: Turn}

/**
 * Takes up what an earlier process of this worker left: agents that are at work are adopted, what has ended is judged by
 * what it printed, what died is continued or given back, and what is only to be reported is. The first needs no server,
 * which may be away for days; the rest waits for it. Returns as soon as all of it counts as held, so that the first
 * heartbeat names it; processes of runs that nobody knows of any more are ended.
 */
export function recover(parts: RecoveryParts): void {
  const {journal, emit} = parts
  const runs = journal.unfinished((taskId) => {
    const text = `What the journal says of task ${taskId} is damaged; the server gives the task back`
    emit({type: 'notice', level: 'error', text})
  })
  const found = {processes: survey(), turn: limiter(mostAtOnce)}
  sweep(runs, found.processes, parts)
  for (const run of runs) takeUp(run, found, parts)
}

function takeUp(run: JournalledRun, found: Found, parts: RecoveryParts): void {
  const {emit, clock, runner} = parts
  const {task_id: taskId, title, attempt, path} = run
  const agent = frozenReport(run) ? undefined : liveAgent(run, found.processes)
  if (agent) tell(run, 'adopt', parts)
  const since = run.started_at || clock.now()
  emit({type: 'task.received', taskId, title, source: 'recovery', attempt, path, since})
  const active: ActiveTask = {
    id: taskId,
    title,
    attempt,
    codebase: path,
    phase: agent ? 'running' : 'reporting',
    since,
    isPortable: run.codebase_id === globalCodebase,
    // How long nobody was heard is not known, so a portable one is let go of soon, should the server stay out of reach.
    heldSince: clock.monotonic() - limits.lease / 2,
    sessionId: run.session_id,
    done: Promise.resolve(),
  }
  const lane = agent && parts.lanes.retake(path, taskId, agent)
  runner.adopt(active, agent !== undefined, (slot) =>
    agent ? goOn(run, agent, {active, slot, lane}, parts) : finish(run, {active, slot, lane}, found, parts),
  )
}

const words: Record<Plan['do'] | 'adopt', string> = {
  deliver: 'Delivering the report of a run that had ended',
  adopt: 'Going on with a run whose agent is at work',
  judge: 'Finishing a run whose agent has ended',
  resume: 'Continuing a run whose agent died with the worker',
  requeue: 'Giving a run back whose agent died with the worker',
}

const tell = ({task_id: taskId, title}: JournalledRun, what: keyof typeof words, {emit}: RecoveryParts) =>
  emit({type: 'notice', level: 'info', taskId, text: `${words[what]} (${title})`})

// ------------------------------------------------------------------------------------------------------ deciding

async function planFor(run: JournalledRun, parts: RecoveryParts): Promise<Plan> {
  const frozen = frozenReport(run)
  if (frozen) return {do: 'deliver', report: frozen}
  const record = await readSpool(run)
  if (record.finished) return {do: 'judge', record, error: ''}
  return planForDead(run, record, parts)
}

function planForDead(run: JournalledRun, record: RunRecord, {config, lanes}: RecoveryParts): Plan {
  const error = 'the worker was ended while the task ran, and its agent with it'
  const tries = run.resumes + Math.max(run.attempt, 1)
  if (config.on_interrupt === 'fail') return {do: 'judge', record, error}
  if (tries >= config.max_attempts) return {do: 'judge', record, error: `${error}, for the ${tries}. time`}
  const nothingDone = record.events === 0
  if (nothingDone) return {do: 'requeue', record, reason: 'its agent had not begun'}
  if (config.on_interrupt === 'requeue') return {do: 'requeue', record, reason: error}
  const lane = record.sessionId === null ? undefined : lanes.retake(run.path, run.task_id, undefined)
  return lane ? {do: 'resume', record, lane} : {do: 'requeue', record, reason: error}
}

// ---------------------------------------------------------------------------------------------------- carrying out

type InHand = {active: ActiveTask; slot: Slot; lane: Lock | undefined}

const handOf = (run: JournalledRun, {slot, lane}: InHand) => ({
  lane,
  relayFrom: cursorOf(run),
  free: () => {
    lane?.[Symbol.dispose]()
    slot.free()
  },
})

/** Its agent is at work. */
async function goOn(run: JournalledRun, agent: ProcessIdentity, held: InHand, parts: RecoveryParts): Promise<void> {
  const start = async (observer: RunObserver) => adopt(run, agent, observer, parts)
  await seeRun(run, held.active, {...handOf(run, held), start}, parts)
}

/** Its agent is not: in its turn it is brought to its end, or that is prepared and then takes as long as it takes. */
async function finish(run: JournalledRun, held: InHand, {processes, turn}: Found, parts: RecoveryParts): Promise<void> {
  // Nothing is begun again before it is known that it is still ours.
  await parts.registration.untilKnown(parts.signal)
  if (parts.signal.aborted) return
  const resumed = await turn(async () => {
    const plan = await planFor(run, parts)
    tell(run, plan.do, parts)
    await endLeftovers(run, processes, parts)
    if (plan.do === 'resume') return plan
    await carryOut(plan, run, parts)
    return undefined
  })
  if (!resumed) return
  const {record, lane} = resumed
  held.slot.take()
  held.active.phase = 'starting'
  const start = (observer: RunObserver) => resume(run, record, observer, parts)
  const before = {...record.usage, model: run.model, duration_ms: null}
  await seeRun(run, held.active, {...handOf(run, {...held, lane}), start, before}, parts)
}

async function carryOut(plan: Exclude<Plan, {do: 'resume'}>, run: JournalledRun, parts: RecoveryParts): Promise<void> {
  switch (plan.do) {
    case 'deliver':
      return await report(run, plan.report, parts)
    case 'judge': {
      const update = reportOf(run, judged(run, plan.record, plan.error), parts.workerId)
      keep(run, update, parts)
      return await report(run, update, parts)
    }
    case 'requeue': {
      const update = giveBackOf(run, plan.reason, parts.workerId)
      parts.journal.freeze(run, update)
      return await report(run, update, parts)
    }
  }
}

/** Nothing more is written. */
const over = AbortSignal.abort()

const endOf = ({usage, error}: StatusUpdate, status: FinalStatus) => ({
  status,
  ms: usage?.duration_ms ?? 0,
  error: error ?? null,
  cost: usage?.cost ?? 0,
})

async function report(run: JournalledRun, update: StatusUpdate, parts: RecoveryParts): Promise<void> {
  const {delivery, emit, folders} = parts
  if (isFinal(update.status)) emit({type: 'task.finished', taskId: run.task_id, ...endOf(update, update.status)})
  // Its last batch goes along with the report.
  const end = {isClosing: () => isFinal(update.status), ended: over}
  const tail = hasSpool(run) ? await delivery.output(run, cursorOf(run), end) : undefined
  await delivery.report(run, update, tail)
  folders.ended(run.run_dir)
  if (!isFinal(update.status)) emit({type: 'task.dropped', taskId: run.task_id, reason: 'it was given back'})
}

function requestOf(run: JournalledRun, {config, clock, disk}: RecoveryParts) {
  const begunAt = clock.monotonic()
  return {
    taskId: run.task_id,
    attempt: run.attempt,
    title: run.title,
    prompt: continuation,
    agent: run.agent,
    model: run.model ?? undefined,
    cwd: run.path,
    runDir: run.run_dir,
    marker: run.marker,
    deadlines: deadlinesOf(config),
    wasDiskFull: () => disk.wasFullSince(begunAt),
  }
}

function adopt(run: JournalledRun, root: ProcessIdentity, observer: RunObserver, parts: RecoveryParts) {
  const {clock, journal, emit} = parts
  if (run.pid === null) journal.spawned(run, root.pid, root.startTime)
  const {task_id: taskId, attempt, title, path, agent} = run
  emit({type: 'task.started', taskId, attempt, title, path, agent, pid: root.pid})
  return adoptRun({request: requestOf(run, parts), observer, clock, root})
}

async function resume(run: JournalledRun, record: RunRecord, observer: RunObserver, parts: RecoveryParts) {
  parts.journal.resumed(run, bootId() ?? '')
  const sessionId = record.sessionId ?? undefined
  const prepared = await parts.executor.prepare({...requestOf(run, parts), sessionId, continues: true})
  return await prepared.start(observer)
}
