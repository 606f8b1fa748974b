import type {Clock} from '../../core/clock.ts'
import {outcomeReason, outcomes} from '../../metrics/outcome-reason.ts'
import type {PlaneMetric} from '../../metrics/plane-metrics.ts'
import type {Registry} from '../../metrics/registry.ts'
import {UsageTotals} from '../../metrics/usage.ts'
import {isFinal} from '../../protocol/statuses.ts'
import type {StateEvent} from '../state/events.ts'
import type {EventPlace} from '../store/engine.ts'

/** More tasks than that are not timed while they wait. They are counted. */
const maxTimed = 10_000

type TaskEvent = StateEvent & {type: 'task'}

/**
 * Counts what a control plane announces after its commits. Of several that share their state, each announces the events of
 * all, and each counts only its own: so the sum is right. Times are taken from all, because one may give a task that
 * another one was told of.
 */
export class PlaneFold {
  readonly #registry: Registry<PlaneMetric>
  readonly #clock: Pick<Clock, 'now'>
  readonly #usage = new UsageTotals()
  /** Since when tasks wait, and when they were given to a worker. In Unix ms. */
  readonly #waiting = new Map<string, number>()
  readonly #given = new Map<string, number>()

  constructor(registry: Registry<PlaneMetric>, clock: Pick<Clock, 'now'>) {
    this.#registry = registry
    this.#clock = clock
    for (const outcome of outcomes) registry.add('a2a_plane_tasks_ended_total', 0, outcome)
  }

  /** Writes what is counted in plain numbers. */
  write(): void {
    this.#usage.write(this.#registry, 'a2a_plane')
  }

  add(event: StateEvent, place?: EventPlace): void {
    const isOwn = place?.isOwn !== false
    if (event.type === 'task') {
      this.#time(event.task.id, event.change, place)
      if (isOwn) this.#count(event)
    } else if (event.type === 'give') this.#give(event.task.id, place)
    else if (!isOwn) return
    else if (event.type === 'output')
      this.#registry.add('a2a_plane_output_bytes_total', Buffer.byteLength(event.output))
    else if (event.type === 'question' && event.change === 'asked') this.#registry.add('a2a_plane_questions_total', 1)
  }

  /** `ms`: how long a commit took. */
  committed(ms: number, hasFailed: boolean): void {
    if (hasFailed) this.#registry.add('a2a_plane_commit_failures_total', 1)
    else this.#registry.observe('a2a_plane_commit_seconds', ms / 1000)
  }

  #count({change, error, usage, ms}: TaskEvent): void {
    if (change === 'created') return this.#registry.add('a2a_plane_tasks_created_total', 1)
    if (change === 'pending') return this.#registry.add('a2a_plane_tasks_requeued_total', 1)
    if (change === 'lost') return this.#registry.add('a2a_plane_tasks_lost_total', 1)
    if (!isFinal(change)) return
    this.#registry.add('a2a_plane_tasks_ended_total', 1, {status: change, reason: outcomeReason(change, error)})
    if (ms !== undefined) this.#registry.observe('a2a_plane_task_run_seconds', seconds(ms), {status: change})
    if (usage) this.#usage.add(usage)
  }

  #time(id: string, change: TaskEvent['change'], place: EventPlace | undefined): void {
    if (change === 'cancelling' || change === 'lost') return
    if (change === 'running') this.#taken(id, place)
    this.#given.delete(id)
    this.#waiting.delete(id)
    if (change !== 'created' && change !== 'pending') return
    if (this.#waiting.size < maxTimed) this.#waiting.set(id, this.#at(place))
  }

  /** An assignment is announced again on a new stream: the first time counts. */
  #give(id: string, place: EventPlace | undefined): void {
    if (!this.#waiting.has(id)) return
    this.#observeWait(id, place)
    this.#given.set(id, this.#at(place))
  }

  #taken(id: string, place: EventPlace | undefined): void {
    const given = this.#given.get(id)
    if (given === undefined)
      this.#observeWait(id, place) // it was polled for, or claimed without an offer
    else if (place?.isOwn !== false)
      this.#registry.observe('a2a_plane_dispatch_seconds', seconds(this.#at(place) - given))
  }

  #observeWait(id: string, place: EventPlace | undefined): void {
    const since = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (since === undefined || place?.isOwn === false) return
    this.#registry.observe('a2a_plane_queue_wait_seconds', seconds(this.#at(place) - since))
  }

  #at(place: EventPlace | undefined): number {
    return place?.at ?? this.#clock.now()
  }
}

/** Clocks may be set back. */
const seconds = (ms: number) => Math.max(0, ms) / 1000
