import {assertNever} from '../../core/errors.ts'
import {providerWaitText} from '../../events/log-line.ts'
import type {WorkerEvent} from '../../events/worker-event.ts'
import type {OpenQuestion} from '../../protocol/task-input.ts'
import {append, emptyTail} from './tail.ts'
import {truncate, viewLimits, type EndedTask, type TaskView, type View, type WaitingTask} from './view.ts'

export type TaskEvent = Extract<WorkerEvent, {type: `task.${string}`}>

/** Reduces the events of tasks. */
export function reduceTask(view: View, event: TaskEvent): View {
  const {taskId} = event
  switch (event.type) {
    case 'task.received':
      return addTask(view, event)
    case 'task.claimed':
      return updateTask(view, taskId, () => ({attempt: event.attempt, phase: 'starting'}))
    case 'task.started':
      return updateTask(view, taskId, () => ({
        attempt: event.attempt,
        agent: event.agent,
        pid: event.pid,
        phase: 'running',
      }))
    case 'task.session':
      return updateTask(view, taskId, () => ({sessionId: event.sessionId}))
    case 'task.activity':
      return appendActivity(view, taskId, [event])
    case 'task.provider':
      return updateTask(view, taskId, () => ({
        waiting: event.message === null ? null : truncate(providerWaitText(event)),
      }))
    case 'task.state':
      return updateTask(view, taskId, () => ({
        agentState: {state: event.state, what: truncate(event.what), since: event.since},
      }))
    case 'task.questions':
      return updateTask(view, taskId, () => ({questions: event.questions.map(shortened)}))
    case 'task.input':
      return view // it is in the log
    case 'task.stopping':
      return updateTask(view, taskId, ({phase}) => (phase === 'reporting' ? {} : {phase: 'stopping'}))
    case 'task.finished':
      return finishTask(view, event)
    case 'task.waiting':
      return addWaiting(view, event)
    case 'task.dropped':
    case 'task.reported':
      return removeTask(view, taskId)
    case 'task.refused':
      return removeTask(recordRefusal(view, event), taskId)
    default:
      return assertNever(event)
  }
}

export type ActivityEvent = Extract<TaskEvent, {type: 'task.activity'}>

/** Appends the output of an agent, in one step for many events. */
export function appendActivity(view: View, taskId: string, events: readonly ActivityEvent[]): View {
  const more = events.flatMap((event) => activityLines(event))
  return updateTask(view, taskId, ({lines}) => ({lines: append(lines, more, viewLimits.linesOfTask)}))
}

function addTask(view: View, event: Extract<TaskEvent, {type: 'task.received'}>): View {
  const {taskId: id, title, attempt, path, at, since = at} = event
  const task: TaskView = {
    id,
    title: truncate(title),
    path,
    attempt,
    agent: null,
    pid: null,
    sessionId: null,
    phase: 'claiming',
    since,
    waiting: null,
    agentState: null,
    questions: [],
    lines: emptyTail,
  }
  const {tasks, waiting} = removeTask(view, id)
  return {...view, tasks: [...tasks, task].slice(-viewLimits.tasks), waiting}
}

const shortened = (question: OpenQuestion): OpenQuestion => ({...question, title: truncate(question.title)})

/** Removes the task from the active and the waiting tasks. */
const removeTask = (view: View, id: string): View => ({
  ...view,
  tasks: view.tasks.filter((task) => task.id !== id),
  waiting: view.waiting.filter((task) => task.id !== id),
})

function updateTask(view: View, id: string, change: (task: TaskView) => Partial<TaskView>): View {
  const at = view.tasks.findIndex((task) => task.id === id)
  const task = view.tasks[at]
  return task ? {...view, tasks: view.tasks.with(at, {...task, ...change(task)})} : view
}

const maxLinesOfText = 40

function activityLines({line, text = line}: ActivityEvent): string[] {
  if (!text.includes('\n')) return [truncate(text)]
  return text.split('\n', maxLinesOfText).map((part) => truncate(part))
}

function finishTask(view: View, event: Extract<TaskEvent, {type: 'task.finished'}>): View {
  const {taskId: id, status, ms, cost, error, at} = event
  const task = view.tasks.find((known) => known.id === id)
  const {title = id, path = '', attempt = 0, lines = emptyTail} = task ?? {}
  const end: EndedTask = {
    id,
    title,
    path,
    attempt,
    status,
    ms,
    cost,
    error: error === null ? null : truncate(error),
    refusal: null,
    at,
    lines,
  }
  const before = view.ended.filter((known) => known.id !== id)
  const {totals} = view
  return {
    ...updateTask(view, id, () => ({phase: 'reporting'})),
    ended: [end, ...before].slice(0, viewLimits.ended).map(dropOldLines),
    totals: {...totals, [status]: totals[status] + 1, cost: totals.cost + cost},
  }
}

function recordRefusal(view: View, {taskId, reason}: Extract<TaskEvent, {type: 'task.refused'}>): View {
  const refusal = truncate(reason)
  return {...view, ended: view.ended.map((task) => (task.id === taskId ? {...task, refusal} : task))}
}

const dropOldLines = (task: EndedTask, index: number): EndedTask =>
  index < viewLimits.endedWithLines || task.lines === emptyTail ? task : {...task, lines: emptyTail}

function addWaiting(view: View, event: Extract<TaskEvent, {type: 'task.waiting'}>): View {
  const {taskId: id, title, reason, path = '', at} = event
  const known = view.waiting.findIndex((task) => task.id === id)
  const task: WaitingTask = {
    id,
    title: truncate(title),
    reason: truncate(reason),
    path,
    since: view.waiting[known]?.since ?? at,
    at,
  }
  const waiting = known === -1 ? [...view.waiting, task] : view.waiting.with(known, task)
  return {...view, waiting: waiting.slice(-viewLimits.waiting)}
}
