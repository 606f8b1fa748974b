import type {Connection, WorkerEvent} from '../events/worker-event.ts'
import {outcomeReason, outcomes} from './outcome-reason.ts'
import {reconnectReason} from './reconnect-reason.ts'
import type {Registry} from './registry.ts'
import {UsageTotals} from './usage.ts'
import type {WorkerMetric} from './worker-metrics.ts'

/** A worker has few tasks at once. What is beyond is not measured. */
const maxTimed = 1000

type TaskEvent = Extract<WorkerEvent, {taskId: string; type: `task.${string}`}>
type Finished = Extract<WorkerEvent, {type: 'task.finished'}>

/** Counts the events of a worker. Its state is what only events tell; the rest is read when it is scraped. */
export class WorkerFold {
  readonly #registry: Registry<WorkerMetric>
  readonly #usage = new UsageTotals()
  /** When tasks were received whose agents do not run yet. */
  readonly #received = new Map<string, number>()
  readonly #questions = new Map<string, number>()
  readonly #troubles = new Map<string, Set<string>>()
  #connection: Connection = 'down'

  constructor(registry: Registry<WorkerMetric>) {
    this.#registry = registry
    for (const outcome of outcomes) registry.add('a2a_worker_tasks_finished_total', 0, outcome)
  }

  /** How many questions are open. */
  get openQuestions(): number {
    return [...this.#questions.values()].reduce((sum, count) => sum + count, 0)
  }

  /** Whether a cause keeps the worker from taking tasks, or some of them. */
  isPausedBy(cause: string): boolean {
    return (this.#troubles.get(cause)?.size ?? 0) > 0
  }

  /** Writes what is counted in plain numbers. */
  write(): void {
    this.#usage.write(this.#registry, 'a2a_worker')
  }

  readonly add = (event: WorkerEvent): void => {
    switch (event.type) {
      case 'link.changed':
        return this.#connectionChanged(event.link, event.reason)
      case 'pause.changed':
        return this.#trouble('operator', '', event.isPaused)
      case 'disk.changed':
        return this.#trouble('disk', '', event.isLow)
      case 'trouble.changed':
        return this.#trouble(event.kind, event.name, event.reason !== null)
      default:
        if (isTaskEvent(event)) this.#addTask(event)
    }
  }

  #addTask(event: TaskEvent): void {
    const {taskId} = event
    switch (event.type) {
      case 'task.received':
        if (event.source !== 'recovery' && this.#received.size < maxTimed) this.#received.set(taskId, event.at)
        return this.#registry.add('a2a_worker_tasks_received_total', 1, {source: event.source})
      case 'task.started':
        return this.#started(taskId, event.at)
      case 'task.questions':
        if (event.questions.length === 0) this.#questions.delete(taskId)
        else this.#questions.set(taskId, event.questions.length)
        return
      case 'task.dropped':
        this.#forget(taskId)
        return this.#registry.add('a2a_worker_tasks_dropped_total', 1)
      case 'task.finished':
        this.#forget(taskId)
        return this.#finished(event)
      case 'task.refused':
        return this.#registry.add('a2a_worker_reports_refused_total', 1)
    }
  }

  #connectionChanged(connection: Connection, reason: string): void {
    this.#registry.add('a2a_worker_connection_changes_total', 1, {connection})
    const wasStream = this.#connection === 'stream'
    this.#connection = connection
    if (wasStream) this.#registry.add('a2a_worker_reconnects_total', 1, {reason: reconnectReason(reason)})
  }

  #started(taskId: string, at: number): void {
    const received = this.#received.get(taskId)
    if (received === undefined) return // of an earlier process, or its agent was started again
    this.#received.delete(taskId)
    this.#registry.observe('a2a_worker_task_start_seconds', seconds(at - received))
  }

  #finished({status, error, ms, usage}: Finished): void {
    this.#registry.add('a2a_worker_tasks_finished_total', 1, {status, reason: outcomeReason(status, error)})
    this.#registry.observe('a2a_worker_run_seconds', seconds(ms), {status})
    if (usage) this.#usage.add(usage)
  }

  #trouble(cause: string, name: string, isOn: boolean): void {
    const names = this.#troubles.get(cause) ?? new Set()
    if (isOn && names.size < maxTimed) this.#troubles.set(cause, names.add(name))
    else names.delete(name)
  }

  #forget(taskId: string): void {
    this.#received.delete(taskId)
    this.#questions.delete(taskId)
  }
}

const isTaskEvent = (event: WorkerEvent): event is TaskEvent => event.type.startsWith('task.')

/** Clocks may be set back. */
const seconds = (ms: number) => Math.max(0, ms) / 1000
