import {assertNever} from '../../core/errors.ts'
import type {WorkerEvent} from '../../events/worker-event.ts'
import {append, noTail} from './tail.ts'
import {cut, viewLimits, type EndedTask, type TaskView, type View, type WaitingTask} from './view.ts'

export type TaskEvent = Extract<WorkerEvent, {type: `task.${string}`}>

/** The part of the fold that is about tasks. */
export function reduceTask(view: View, event: TaskEvent): View {
  const {taskId} = event
  switch (event.type) {
    case 'task.received':
      return received(view, event)
    case 'task.claimed':
      return withTask(view, taskId, () => ({attempt: event.attempt, phase: 'starting'}))
    case 'task.started':
      return withTask(view, taskId, () => ({
        attempt: event.attempt,
        agent: event.agent,
        pid: event.pid,
        phase: 'running',
      }))
    case 'task.session':
      return withTask(view, taskId, () => ({sessionId: event.sessionId}))
    case 'task.activity':
      return said(view, taskId, [event])
    case 'task.stopping':
      return withTask(view, taskId, ({phase}) => (phase === 'reporting' ? {} : {phase: 'stopping'}))
    case 'task.finished':
      return finished(view, event)
    case 'task.waiting':
      return waits(view, event)
    case 'task.dropped':
    case 'task.reported':
      return without(view, taskId)
    case 'task.refused':
      return without(refused(view, event), taskId)
    default:
      return assertNever(event)
  }
}

export type Activity = Extract<TaskEvent, {type: 'task.activity'}>

/** What an agent says, in one step for however much it is. */
export function said(view: View, taskId: string, events: readonly Activity[]): View {
  const more = events.flatMap((event) => linesOf(event))
  return withTask(view, taskId, ({lines}) => ({lines: append(lines, more, viewLimits.linesOfTask)}))
}

function received(view: View, event: Extract<TaskEvent, {type: 'task.received'}>): View {
  const {taskId: id, title, attempt, path, at, since = at} = event
  const task: TaskView = {
    id,
    title: cut(title),
    path,
    attempt,
    agent: null,
    pid: null,
    sessionId: null,
    phase: 'claiming',
    since,
    lines: noTail,
  }
  const {tasks, waiting} = without(view, id)
  return {...view, tasks: [...tasks, task].slice(-viewLimits.tasks), waiting}
}

/** It is neither in hand nor waiting any more. */
const without = (view: View, id: string): View => ({
  ...view,
  tasks: view.tasks.filter((task) => task.id !== id),
  waiting: view.waiting.filter((task) => task.id !== id),
})

function withTask(view: View, id: string, change: (task: TaskView) => Partial<TaskView>): View {
  const at = view.tasks.findIndex((task) => task.id === id)
  const task = view.tasks[at]
  return task ? {...view, tasks: view.tasks.with(at, {...task, ...change(task)})} : view
}

const mostLinesOfText = 40

function linesOf({line, text = line}: Activity): string[] {
  if (!text.includes('\n')) return [cut(text)]
  return text.split('\n', mostLinesOfText).map((part) => cut(part))
}

function finished(view: View, event: Extract<TaskEvent, {type: 'task.finished'}>): View {
  const {taskId: id, status, ms, cost, error, at} = event
  const task = view.tasks.find((known) => known.id === id)
  const {title = id, path = '', attempt = 0, lines = noTail} = task ?? {}
  const end: EndedTask = {
    id,
    title,
    path,
    attempt,
    status,
    ms,
    cost,
    error: error === null ? null : cut(error),
    refusal: null,
    at,
    lines,
  }
  const before = view.ended.filter((known) => known.id !== id)
  const {totals} = view
  return {
    ...withTask(view, id, () => ({phase: 'reporting'})),
    ended: [end, ...before].slice(0, viewLimits.ended).map(bounded),
    totals: {...totals, [status]: totals[status] + 1, cost: totals.cost + cost},
  }
}

function refused(view: View, {taskId, reason}: Extract<TaskEvent, {type: 'task.refused'}>): View {
  const refusal = cut(reason)
  return {...view, ended: view.ended.map((task) => (task.id === taskId ? {...task, refusal} : task))}
}

const bounded = (task: EndedTask, index: number): EndedTask =>
  index < viewLimits.endedWithLines || task.lines === noTail ? task : {...task, lines: noTail}

function waits(view: View, {taskId: id, title, reason, at}: Extract<TaskEvent, {type: 'task.waiting'}>): View {
  const known = view.waiting.findIndex((task) => task.id === id)
  const task: WaitingTask = {id, title: cut(title), reason: cut(reason), since: view.waiting[known]?.since ?? at, at}
  const waiting = known === -1 ? [...view.waiting, task] : view.waiting.with(known, task)
  return {...view, waiting: waiting.slice(-viewLimits.waiting)}
}
