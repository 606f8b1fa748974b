import {isoTime, parseTime, type Clock} from '../../../core/clock.ts'
import type {EndedTask, TaskViews} from '../../store/views.ts'

/** What happened within an hour. `start`: Unix ms. Waits in ms, from the creation of a task to its first start. */
export type Hour = {
  start: number
  completed: number
  failed: number
  cancelled: number
  /** Half of the tasks waited for less. Undefined: none was started. */
  medianWait: number | undefined
  longestWait: number | undefined
  cost: number
}

export type DayStats = {
  hours: Hour[]
  completed: number
  failed: number
  cancelled: number
  medianWait: number | undefined
  longestWait: number | undefined
  cost: number
  tokens: number
  /** There were more tasks than are counted. */
  isPart: boolean
}

const hourMs = 60 * 60_000
const hoursShown = 24
/** More tasks of a day are not counted. */
export const maxCounted = 20_000

/** The last 24 hours, by the hour in which a task ended. The last hour is the present one. */
export function dayStats(ended: readonly EndedTask[], now: number): DayStats {
  const first = Math.floor(now / hourMs) - hoursShown + 1
  const byHour = Map.groupBy(ended, (task) => Math.floor((parseTime(task.completed_at) ?? 0) / hourMs))
  const hours = Array.from({length: hoursShown}, (_, n) => hourOf((first + n) * hourMs, byHour.get(first + n) ?? []))
  const shown = ended.filter((task) => (parseTime(task.completed_at) ?? 0) >= first * hourMs)
  const {start: _start, ...all} = hourOf(0, shown)
  const tokens = shown.reduce((sum, task) => sum + (task.tokens ?? 0), 0)
  return {hours, ...all, tokens, isPart: ended.length >= maxCounted}
}

function hourOf(start: number, ended: readonly EndedTask[]): Hour {
  const count = (status: string) => ended.filter((task) => task.status === status).length
  const waits = ended.flatMap((task) => waitOf(task) ?? []).toSorted((a, b) => a - b)
  return {
    start,
    completed: count('completed'),
    failed: count('failed'),
    cancelled: count('cancelled'),
    medianWait: waits[Math.floor(waits.length / 2)],
    longestWait: waits.at(-1),
    cost: ended.reduce((sum, task) => sum + (task.cost ?? 0), 0),
  }
}

function waitOf({created_at, started_at}: EndedTask): number | undefined {
  const [from, to] = [parseTime(created_at), parseTime(started_at)]
  return from === undefined || to === undefined ? undefined : Math.max(0, to - from)
}

/** How long statistics are shown before they are made again. They read thousands of rows. */
const freshMs = 5000

/** Returns the function that tells the statistics of the last day. All who look at the same time share them. */
export function dayStatsReader(
  tasks: Pick<TaskViews, 'endedSince'>,
  clock: Pick<Clock, 'monotonic'>,
): (now: number) => DayStats {
  let known: {at: number; stats: DayStats} | undefined
  return (now) => {
    const at = clock.monotonic()
    if (known && at - known.at < freshMs) return known.stats
    const since = isoTime((Math.floor(now / hourMs) - hoursShown + 1) * hourMs)
    known = {at, stats: dayStats(tasks.endedSince(since, maxCounted), now)}
    return known.stats
  }
}
