import {assertNever} from '../../core/errors.ts'
import {logLevels, logLine} from '../../events/log-line.ts'
import type {WorkerEvent} from '../../events/worker-event.ts'
import {reduceTask, said, type Activity, type TaskEvent} from './reduce-task.ts'
import {append} from './tail.ts'
import {cut, viewLimits, type CodebaseView, type LogEntry, type View} from './view.ts'

/**
 * The view after some more events. Pure; a kind of event that is forgotten here does not compile. What an agent says in a
 * row is one step, as it may say thousands of things a second, and so are the lines of the log, which is copied each time.
 */
export function reduceAll(view: View, events: readonly WorkerEvent[]): View {
  let at = 0
  let result = view
  const log: LogEntry[] = []
  while (at < events.length) {
    const run = activitiesFrom(events, at)
    const [first] = run
    const event = events[at]
    if (first) result = said(result, first.taskId, run)
    else if (event) {
      result = changed(result, event)
      log.push(...logEntries(result, event))
    }
    at += Math.max(1, run.length)
  }

  return log.length > 0 ? {...result, log: append(result.log, log, viewLimits.log)} : result
}

function activitiesFrom(events: readonly WorkerEvent[], from: number): Activity[] {
  const run: Activity[] = []
  for (let i = from; i < events.length; i++) {
    const event = events[i]
    if (event?.type !== 'task.activity' || event.taskId !== (run[0] ?? event).taskId) break
    run.push(event)
  }

  return run
}

function changed(view: View, event: WorkerEvent): View {
  switch (event.type) {
    case 'phase.changed':
      return {...view, phase: event.to}
    case 'pause.changed':
      return {...view, isPaused: event.isPaused}
    case 'disk.changed':
      return {...view, isDiskLow: event.isLow}
    case 'stop.requested':
      return {...view, farewell: cut(event.hint)}
    case 'link.changed':
      return {...view, link: {value: event.link, since: event.at, reason: cut(event.reason)}}
    case 'worker.registered':
      return {...view, name: event.name, workerId: event.workerId, server: event.server}
    case 'codebase.registered':
      return withCodebase(view, {id: event.codebaseId, name: event.name, path: event.path, problem: null})
    case 'codebase.refused':
      return withCodebase(view, {id: null, name: event.name, path: event.path, problem: cut(event.reason)})
    case 'codebase.removed':
      return {...view, codebases: view.codebases.filter(({path}) => path !== event.path)}
    case 'settings.reloaded':
      return {...view, slots: event.slots, logLevel: event.logLevel}
    case 'queue.changed':
      return withQueue(view, event)
    case 'broker.changed': // the link says what it means, the log the rest
    case 'notice':
      return view
    default:
      return isTaskEvent(event) ? reduceTask(view, event) : assertNever(event)
  }
}

const isTaskEvent = (event: WorkerEvent): event is TaskEvent => event.type.startsWith('task.')

function withCodebase(view: View, codebase: CodebaseView): View {
  const at = view.codebases.findIndex(({path}) => path === codebase.path)
  const codebases = at === -1 ? [...view.codebases, codebase] : view.codebases.with(at, codebase)
  return {...view, codebases: codebases.slice(0, viewLimits.codebases)}
}

/** What the server says replaces what was heard before; only a reason that it does not know is kept. */
function withQueue(view: View, {tasks, more, at}: Extract<WorkerEvent, {type: 'queue.changed'}>): View {
  const inHand = new Set(view.tasks.map(({id}) => id))
  const known = new Map(view.waiting.map((task) => [task.id, task]))
  const waiting = tasks
    .filter(({id}) => !inHand.has(id))
    .slice(0, viewLimits.waiting)
    .map(({id, title, reason, since}) => ({
      id,
      title: cut(title),
      reason: cut(reason ?? known.get(id)?.reason ?? ''),
      since: since ?? known.get(id)?.since ?? at,
      at,
    }))
  return {...view, waiting, waitingMore: more}
}

/** Its line in the log; what agents do has a pane of its own and would drown the rest. */
function logEntries({logLevel}: View, event: WorkerEvent): LogEntry[] {
  if (event.type === 'task.activity') return []
  const {level, text, taskId} = logLine(event)
  if (logLevels.indexOf(level) < logLevels.indexOf(logLevel)) return []
  return [{at: event.at, level, text: cut(text), taskId: taskId ?? null}]
}
