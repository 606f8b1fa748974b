import type {WorkerStatus} from '../../control/messages.ts'
import {emptyTail, type Tail} from './tail.ts'
import type {CodebaseView, View} from './view.ts'

/** Status fields that are not in the view. */
export type ProcessFacts = Pick<
  WorkerStatus,
  'pid' | 'version' | 'free' | 'worker_id' | 'server' | 'disk' | 'containment' | 'agents'
>

const statusLimits = {lines: 50, lineChars: 200_000, ended: 30, log: 100}
/** A waiting task without news for this time has probably gone to another worker. */
const staleMs = 60_000

/** The status for the local socket, built from the view. It is limited in size, so that it is sent in one write. */
export function statusFromView(view: View, facts: ProcessFacts, now: number): WorkerStatus {
  const {name, phase, startup, isPaused: paused, troubles, farewell, link, slots, codebases, totals, log} = view
  const maxChars = statusLimits.lineChars / Math.max(1, view.tasks.length)
  return {
    ...facts,
    name,
    phase,
    startup,
    paused,
    troubles: [...troubles],
    farewell,
    link: link.value,
    link_since: link.since,
    link_reason: link.reason,
    slots,
    codebases: codebases.flatMap(({id, name, path}) => (id === null ? [] : [{id, name, path}])),
    refused: codebases.flatMap(({name, path, problem}) => (problem === null ? [] : [{name, path, reason: problem}])),
    tasks: view.tasks.map(({path, sessionId, agentState, questions, lines, ...task}) => ({
      ...task,
      questions: [...questions],
      codebase: path,
      session_id: sessionId,
      agent_state: agentState,
      lines: takeNewest(lines, statusLimits.lines, maxChars),
    })),
    waiting: view.waiting.filter(({at}) => now - at < staleMs),
    waiting_more: view.waitingMore,
    ended: view.ended.slice(0, statusLimits.ended).map(({path, lines: _, ...task}) => ({...task, codebase: path})),
    totals,
    log: mapTail(takeNewest(log, statusLimits.log), ({taskId, ...entry}) => ({...entry, task_id: taskId})),
    log_level: view.logLevel,
  }
}

/** The view of a client that attaches later, built from the status. */
export function viewFromStatus(status: WorkerStatus, now: number): View {
  const served = status.codebases.map(({id, name, path}): CodebaseView => ({
    id,
    name: name || path,
    path,
    problem: null,
  }))
  const refused = status.refused.map(({name, path, reason}): CodebaseView => ({id: null, name, path, problem: reason}))
  return {
    name: status.name,
    workerId: status.worker_id,
    server: status.server,
    phase: status.phase,
    startup: status.startup,
    isPaused: status.paused,
    isDiskLow: status.disk?.is_low ?? false,
    troubles: status.troubles,
    farewell: status.farewell,
    link: {value: status.link, since: status.link_since ?? now, reason: status.link_reason},
    slots: status.slots,
    tasks: status.tasks.map(({codebase, session_id: sessionId, agent_state: agentState, ...task}) => ({
      ...{...task, path: codebase, sessionId, agentState},
    })),
    waiting: status.waiting,
    waitingMore: status.waiting_more,
    ended: status.ended.map(({codebase, ...task}) => ({...task, path: codebase, lines: emptyTail})),
    totals: status.totals,
    codebases: [...served, ...refused],
    log: mapTail(status.log, ({task_id: taskId, ...entry}) => ({...entry, taskId})),
    logLevel: status.log_level,
  }
}

const mapTail = <T, U>({dropped, items}: Tail<T>, change: (item: T) => U) => ({dropped, items: items.map(change)})

/** The newest items: at most `maxItems`, and if they are texts, at most `maxChars` characters. */
function takeNewest<T>(
  {dropped, items}: Tail<T>,
  maxItems: number,
  maxChars = Infinity,
): {dropped: number; items: T[]} {
  let from = items.length
  for (let chars = 0; from > 0 && items.length - from < maxItems; from--) {
    const item = items[from - 1]
    chars += typeof item === 'string' ? item.length : 0
    if (chars > maxChars) break
  }

  return {dropped: dropped + from, items: items.slice(from)}
}
