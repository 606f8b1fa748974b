import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {Config} from '../config/settings.ts'
import {isFullNow} from '../core/disk-full.ts'
import {adoptRun} from '../executor/adopt.ts'
import {runFiles, type Executor, type ProcessIdentity, type RunObserver, type RunOutcome} from '../executor/executor.ts'
import {endProcesses} from '../executor/kill-tree.ts'
import {bootId, isAlive, markedProcesses} from '../executor/processes.ts'
import {readTail} from '../executor/stderr-tail.ts'
import type {JournalledRun} from '../journal/journal.ts'
import {readFact} from '../opencode/events.ts'
import {lineSplitter} from '../opencode/line-splitter.ts'
import {RunRecord} from '../opencode/record.ts'
import {judge} from '../opencode/verdict.ts'
import {parseJson} from '../protocol/parse.ts'
import {isFinal, type FinalStatus, type StatusUpdate} from '../protocol/schemas.ts'
import type {Lanes} from './lanes.ts'
import type {Lock} from './lock-file.ts'
import {seeRun, type ActiveTask, type SeeParts} from './see-run.ts'
import {attemptOf, deadlinesOf} from './task-request.ts'
import type {TaskRunner} from './task-runner.ts'

export type RecoveryParts = SeeParts & {runner: TaskRunner; lanes: Lanes; executor: Executor; config: Config}

/** What becomes of a run that an earlier process of this worker left. */
type Plan =
  | {do: 'deliver'; report: StatusUpdate} // it is over, only its report was not acknowledged
  | {do: 'adopt'; agent: ProcessIdentity; lane: Lock | undefined} // its agent is at work
  | {do: 'judge'; record: RunRecord; error: string} // its agent has ended, or is not to be continued
  | {do: 'resume'; record: RunRecord; lane: Lock} // its agent died with the worker, its session goes on
  | {do: 'requeue'; record: RunRecord; reason: string} // somebody begins again

/** Stands for an agent whose pid is not known: no process has this one, so the marker alone finds what there is. */
const neverStarted: ProcessIdentity = {pid: 2 ** 31 - 1, startTime: '0'}

const continuation =
  'The work on this task was interrupted, as the program that runs you was ended. Look at what is done already, and go on with the task to its end.'

/**
 * Takes up what an earlier process of this worker left: agents that are at work are adopted, what has ended is judged by
 * what it printed, what died is continued or given back, and what is only to be reported is. Returns as soon as all of
 * it counts as held, so that the first heartbeat names it; processes of runs that nobody knows of any more are ended.
 */
export function recover(parts: RecoveryParts): void {
  const {journal, runner, emit, clock} = parts
  const runs = journal.unfinished()
  const marked = Map.groupBy(markedProcesses(), ({marker}) => marker)
  sweep(runs, marked, parts)
  for (const run of runs) {
    const plan = planFor(run, marked.get(run.marker) ?? [], parts)
    const {task_id: taskId, title, attempt, path} = run
    emit({type: 'notice', level: 'info', taskId, text: `${words[plan.do]} (${title})`})
    const since = run.started_at || clock.now()
    emit({type: 'task.received', taskId, title, source: 'recovery', attempt, path, since})
    const active: ActiveTask = {
      id: taskId,
      title,
      attempt,
      codebase: run.path,
      phase: plan.do === 'adopt' || plan.do === 'resume' ? 'running' : 'reporting',
      since,
      sessionId: run.session_id,
      done: Promise.resolve(),
    }
    runner.adopt(active, active.phase === 'running', (free) => carryOut(plan, run, {active, free}, parts))
  }
}

const words: Record<Plan['do'], string> = {
  deliver: 'Delivering the report of a run that had ended',
  adopt: 'Going on with a run whose agent is at work',
  judge: 'Finishing a run whose agent has ended',
  resume: 'Continuing a run whose agent died with the worker',
  requeue: 'Giving a run back whose agent died with the worker',
}

// ------------------------------------------------------------------------------------------------------ deciding

function planFor(run: JournalledRun, marked: ProcessIdentity[], parts: RecoveryParts): Plan {
  const frozen = run.report === null ? undefined : (parseJson(run.report) as StatusUpdate | undefined)
  if (frozen) return {do: 'deliver', report: frozen}
  const agent = liveAgent(run, marked)
  if (agent) return {do: 'adopt', agent, lane: parts.lanes.retake(run.path, run.task_id, agent)}
  const record = readSpool(run)
  if (record.finished) return {do: 'judge', record, error: ''}
  return planForDead(run, record, parts)
}

/** The agent itself, if it is this boot's and alive. Between its start and its row only the marker tells of it. */
function liveAgent(run: JournalledRun, marked: ProcessIdentity[]): ProcessIdentity | undefined {
  if (run.boot_id !== (bootId() ?? '')) return undefined
  if (run.pid !== null) {
    const known = {pid: run.pid, startTime: run.start_time ?? ''}
    return isAlive(known) && marked.some(({pid}) => pid === known.pid) ? known : undefined
  }

  // All its descendants carry the marker too, and began later.
  return marked.toSorted((a, b) => Number(a.startTime) - Number(b.startTime) || a.pid - b.pid)[0]
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

function readSpool(run: JournalledRun): RunRecord {
  const record = new RunRecord()
  const lines = lineSplitter((line) => record.add(readFact(line)))
  try {
    lines.push(readFileSync(join(run.run_dir, runFiles.stdout)))
  } catch {
    // It was never started: there is no spool.
  }

  lines.end()
  return record
}

/** Ends what carries a marker of this worker whose run is not in the journal any more: nobody would ever look after it. */
function sweep(runs: readonly JournalledRun[], marked: Map<string, ProcessIdentity[]>, parts: RecoveryParts): void {
  const {workerId, config, clock, emit} = parts
  const known = new Set(runs.map(({marker}) => marker))
  for (const [marker, processes] of marked) {
    if (!marker.startsWith(`${workerId}:`) || known.has(marker)) continue
    const pids = processes.map(({pid}) => pid).join(', ')
    emit({type: 'notice', level: 'warn', text: `Ending what an unknown run has left (${marker}): ${pids}`})
    const graceMs = config.cancel_grace * 1000
    void endProcesses({root: neverStarted, marker, runDir: '/nowhere', seen: processes, graceMs, clock})
  }
}

// ---------------------------------------------------------------------------------------------------- carrying out

type InHand = {active: ActiveTask; free: () => void}

async function carryOut(plan: Plan, run: JournalledRun, {active, free}: InHand, parts: RecoveryParts): Promise<void> {
  const hand = {lane: undefined, free, relayFrom: run.cursor}
  switch (plan.do) {
    case 'deliver':
      await endLeftovers(run, parts)
      return await report(run, plan.report, parts)
    case 'adopt': {
      const start = async (observer: RunObserver) => adopt(run, plan.agent, observer, parts)
      return await seeRun(run, active, {...hand, lane: plan.lane, free: freeing(plan.lane, free), start}, parts)
    }
    case 'resume': {
      const start = (observer: RunObserver) => resume(run, plan.record, observer, parts)
      const before = {...plan.record.usage, model: run.model, duration_ms: null}
      return await seeRun(run, active, {...hand, lane: plan.lane, free: freeing(plan.lane, free), start, before}, parts)
    }
    case 'judge':
      await endLeftovers(run, parts)
      return await seeRun(run, active, {...hand, start: async () => ended(judged(run, plan.record, plan.error))}, parts)
    case 'requeue': {
      await endLeftovers(run, parts)
      const update = {status: 'pending', worker_id: parts.workerId, error: plan.reason, ...attemptOf(run)}
      parts.journal.freeze(run, update)
      return await report(run, update, parts)
    }
  }
}

const freeing = (lane: Lock | undefined, free: () => void) => () => {
  lane?.[Symbol.dispose]()
  free()
}

/** An agent that has done all that it will do. */
const ended = (outcome: RunOutcome) => ({outcome: Promise.resolve(outcome), stop: () => {}})

const endOf = ({usage, error}: StatusUpdate, status: FinalStatus) => ({
  status,
  ms: usage?.duration_ms ?? 0,
  error: error ?? null,
  cost: usage?.cost ?? 0,
})

async function report(
  run: JournalledRun,
  update: StatusUpdate,
  {delivery, emit, folders}: RecoveryParts,
): Promise<void> {
  if (isFinal(update.status)) emit({type: 'task.finished', taskId: run.task_id, ...endOf(update, update.status)})
  const tail = await delivery.output(run, run.cursor, {isClosing: () => false, ended: AbortSignal.abort()})
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
  const runningForMs = run.started_at > 0 ? Math.max(0, clock.now() - run.started_at) : 0
  return adoptRun({request: requestOf(run, parts), observer, clock, root, runningForMs})
}

async function resume(run: JournalledRun, record: RunRecord, observer: RunObserver, parts: RecoveryParts) {
  await endLeftovers(run, parts)
  parts.journal.resumed(run, bootId() ?? '')
  const sessionId = record.sessionId ?? undefined
  const prepared = await parts.executor.prepare({...requestOf(run, parts), sessionId, continues: true})
  return await prepared.start(observer)
}

function judged(run: JournalledRun, record: RunRecord, error: string): RunOutcome {
  const verdict = judge({
    record,
    exit: undefined,
    stderr: readTail(join(run.run_dir, runFiles.stderr), 0),
    stop: record.finished ? undefined : {status: 'failed', error},
    model: run.model ?? undefined,
    isDiskFull: !record.finished && isFullNow(run.run_dir),
  })
  const usage = {...record.usage, model: run.model, duration_ms: null}
  return {...verdict, result: record.result, sessionId: record.sessionId, usage}
}

/** Whatever of the run is alive, without its agent: nothing works unwatched. */
async function endLeftovers(run: JournalledRun, {config, clock, emit}: RecoveryParts): Promise<void> {
  const isOurBoot = run.boot_id === (bootId() ?? '') && run.pid !== null
  const root = isOurBoot ? {pid: run.pid ?? 0, startTime: run.start_time ?? ''} : neverStarted
  const left = await endProcesses({
    root,
    marker: run.marker,
    runDir: run.run_dir,
    seen: [],
    graceMs: config.cancel_grace * 1000,
    clock,
  })
  if (left.length === 0) return
  const pids = left.map(({pid}) => pid).join(', ')
  emit({type: 'notice', level: 'warn', taskId: run.task_id, text: `processes that cannot be ended: ${pids}`})
}
