import {assertNever} from '../../core/errors.ts'
import {logLevels, logLine} from '../../events/log-line.ts'
import type {WorkerEvent} from '../../events/worker-event.ts'
import {reduceTask, appendActivity, type ActivityEvent, type TaskEvent} from './reduce-task.ts'
import {append} from './tail.ts'
import {truncate, viewLimits, type CodebaseView, type LogEntry, type Trouble, type View} from './view.ts'

/**
 * Applies events to the view. Pure. A missing event type is a compile error. Successive output of an agent is applied in
 * one step, because there may be thousands of lines a second. Log lines are too, because each append copies the log.
 */
export function reduceEvents(view: View, events: readonly WorkerEvent[]): View {
  let at = 0
  let result = view
  const log: LogEntry[] = []
  while (at < events.length) {
    const run = takeActivities(events, at)
    const [first] = run
    const event = events[at]
    if (first) result = appendActivity(result, first.taskId, run)
    else if (event) {
      result = reduceEvent(result, event)
      log.push(...logEntries(result, event))
    }
    at += Math.max(1, run.length)
  }

  return log.length > 0 ? {...result, log: append(result.log, log, viewLimits.log)} : result
}

function takeActivities(events: readonly WorkerEvent[], from: number): ActivityEvent[] {
  const run: ActivityEvent[] = []
  for (let i = from; i < events.length; i++) {
    const event = events[i]
    if (event?.type !== 'task.activity' || event.taskId !== (run[0] ?? event).taskId) break
    run.push(event)
  }

  return run
}

function reduceEvent(view: View, event: WorkerEvent): View {
  switch (event.type) {
    case 'phase.changed':
      return {...view, phase: event.to, startup: event.to === 'starting' ? view.startup : null}
    case 'startup.changed':
      return {...view, startup: {step: truncate(event.step), since: event.at}}
    case 'pause.changed':
      return {...view, isPaused: event.isPaused}
    case 'disk.changed':
      return {...view, isDiskLow: event.isLow}
    case 'trouble.changed':
      return setTrouble(view, event)
    case 'stop.requested':
      return {...view, farewell: truncate(event.hint)}
    case 'link.changed':
      return {...view, link: {value: event.link, since: event.at, reason: truncate(event.reason)}}
    case 'worker.registered':
      return {...view, name: event.name, workerId: event.workerId, server: event.server}
    case 'codebase.registered':
      return setCodebase(view, {id: event.codebaseId, name: event.name, path: event.path, problem: null})
    case 'codebase.refused':
      return setCodebase(view, {id: null, name: event.name, path: event.path, problem: truncate(event.reason)})
    case 'codebase.removed':
      return {...view, codebases: view.codebases.filter(({path}) => path !== event.path)}
    case 'settings.reloaded':
      return {...view, slots: event.slots, logLevel: event.logLevel}
    case 'queue.changed':
      return setQueue(view, event)
    case 'broker.changed': // shown by link.changed and the log
    case 'notice':
      return view
    default:
      return isTaskEvent(event) ? reduceTask(view, event) : assertNever(event)
  }
}

const isTaskEvent = (event: WorkerEvent): event is TaskEvent => event.type.startsWith('task.')

/** The reason may change while the trouble lasts. */
function setTrouble(view: View, {kind, name, reason, at}: Extract<WorkerEvent, {type: 'trouble.changed'}>): View {
  const isSame = (other: Trouble) => other.kind === kind && other.name === name
  const others = view.troubles.filter((trouble) => !isSame(trouble))
  const since = view.troubles.find(isSame)?.since ?? at
  const troubles = reason === null ? others : [...others, {kind, name, reason: truncate(reason), since}]
  return {...view, troubles: troubles.slice(-viewLimits.troubles)}
}

function setCodebase(view: View, codebase: CodebaseView): View {
  const at = view.codebases.findIndex(({path}) => path === codebase.path)
  const codebases = at === -1 ? [...view.codebases, codebase] : view.codebases.with(at, codebase)
  return {...view, codebases: codebases.slice(0, viewLimits.codebases)}
}

/** Replaces the waiting tasks by the server's list. An earlier reason stays if the server gives none. */
function setQueue(view: View, {tasks, more, at}: Extract<WorkerEvent, {type: 'queue.changed'}>): View {
  const activeIds = new Set(view.tasks.map(({id}) => id))
  const known = new Map(view.waiting.map((task) => [task.id, task]))
  const waiting = tasks
    .filter(({id}) => !activeIds.has(id))
    .slice(0, viewLimits.waiting)
    .map(({id, title, reason, since, path = ''}) => ({
      id,
      title: truncate(title),
      path,
      reason: truncate(reason ?? known.get(id)?.reason ?? ''),
      since: since ?? known.get(id)?.since ?? at,
      at,
    }))
  return {...view, waiting, waitingMore: more}
}

/** The log lines of an event. Agent output is left out: it has its own pane and would fill the log. */
function logEntries({logLevel}: View, event: WorkerEvent): LogEntry[] {
  if (event.type === 'task.activity') return []
  const {level, text, taskId} = logLine(event)
  if (logLevels.indexOf(level) < logLevels.indexOf(logLevel)) return []
  return [{at: event.at, level, text: truncate(text), taskId: taskId ?? null}]
}
