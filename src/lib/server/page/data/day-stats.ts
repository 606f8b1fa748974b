import {isoTime, parseTime, type Clock} from '../../../core/clock.ts'
import type {EndedTask, TaskViews} from '../../store/views.ts'

/** What happened within some time. Waits in ms, from the creation of a task to its first start. */
type Happened = {
  completed: number
  failed: number
  cancelled: number
  /** Half of the tasks waited for less. Undefined: none was started. */
  medianWait: number | undefined
  longestWait: number | undefined
  cost: number
}

/** `start`: Unix ms. */
export type Hour = Happened & {start: number}

export type DayStats = Happened & {
  hours: Hour[]
  tokens: number
  /** There were more tasks than are counted. */
  isPart: boolean
}

const hourMs = 60 * 60_000
const hoursShown = 24
/** More tasks of a day are not counted. */
export const maxCounted = 20_000

/** An hour with what the day is summed up from. */
type Counted = Hour & {waits: number[]; tokens: number; tasks: number}

/** The last 24 hours, by the hour in which a task ended. The last hour is the present one. */
export function dayStats(ended: readonly EndedTask[], now: number): DayStats {
  const last = Math.floor(now / hourMs)
  return sumUp(countHours(ended, last - hoursShown + 1, last))
}

/** What ended in each of these hours since 1970. */
function countHours(ended: readonly EndedTask[], first: number, last: number): Counted[] {
  const byHour = Map.groupBy(ended, (task) => Math.floor((parseTime(task.completed_at) ?? 0) / hourMs))
  return Array.from({length: last - first + 1}, (_, n) => countHour((first + n) * hourMs, byHour.get(first + n) ?? []))
}

function countHour(start: number, ended: readonly EndedTask[]): Counted {
  const count = (status: string) => ended.filter((task) => task.status === status).length
  const sum = (key: 'cost' | 'tokens') => ended.reduce((total, task) => total + (task[key] ?? 0), 0)
  const waits = ended.flatMap((task) => waitOf(task) ?? [])
  const counts = {completed: count('completed'), failed: count('failed'), cancelled: count('cancelled')}
  return {start, ...counts, ...typicalOf(waits), cost: sum('cost'), tokens: sum('tokens'), waits, tasks: ended.length}
}

function typicalOf(waits: readonly number[]): Pick<Hour, 'medianWait' | 'longestWait'> {
  const sorted = waits.toSorted((a, b) => a - b)
  return {medianWait: sorted[Math.floor(sorted.length / 2)], longestWait: sorted.at(-1)}
}

function sumUp(hours: readonly Counted[]): DayStats {
  const sum = (key: 'completed' | 'failed' | 'cancelled' | 'cost' | 'tokens' | 'tasks') =>
    hours.reduce((total, hour) => total + hour[key], 0)
  return {
    hours: hours.map(({waits: _w, tokens: _t, tasks: _n, ...hour}) => hour),
    ...{completed: sum('completed'), failed: sum('failed'), cancelled: sum('cancelled')},
    ...typicalOf(hours.flatMap(({waits}) => waits)),
    ...{cost: sum('cost'), tokens: sum('tokens'), isPart: sum('tasks') >= maxCounted},
  }
}

function waitOf({created_at, started_at}: EndedTask): number | undefined {
  const [from, to] = [parseTime(created_at), parseTime(started_at)]
  return from === undefined || to === undefined ? undefined : Math.max(0, to - from)
}

/** How long statistics are shown before they are made again. */
const freshMs = 5000

/**
 * Returns the function that tells the statistics of the last day. All who look at the same time share them, and hours
 * that are over are counted once: there may be thousands of tasks in each.
 */
export function dayStatsReader(
  tasks: Pick<TaskViews, 'endedSince'>,
  clock: Pick<Clock, 'monotonic'>,
): (now: number) => DayStats {
  let known: {at: number; last: number; hours: Counted[]; stats: DayStats} | undefined
  return (now) => {
    const at = clock.monotonic()
    if (known && at - known.at < freshMs) return known.stats
    const last = Math.floor(now / hourMs)
    const first = last - hoursShown + 1
    // the hour before may have ended a moment ago, and its last task may be stored only now
    const over = known?.hours.filter(({start}) => start >= first * hourMs && start < (known?.last ?? 0) * hourMs) ?? []
    const counted = over.slice(0, -1)
    const from = first + counted.length
    const ended = tasks.endedSince(isoTime(from * hourMs), maxCounted)
    const hours = [...counted, ...countHours(ended, from, last)]
    known = {at, last, hours, stats: sumUp(hours)}
    return known.stats
  }
}
