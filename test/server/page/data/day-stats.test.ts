import {expect, test} from 'vitest'
import {dayStats, dayStatsReader, maxCounted} from '../../../../src/lib/server/page/data/day-stats.ts'
import type {EndedTask, TaskViews} from '../../../../src/lib/server/store/views.ts'

const now = Date.UTC(2026, 0, 2, 12, 30)
const at = (minutesAgo: number) => new Date(now - minutesAgo * 60_000).toISOString()
const ended = (minutesAgo: number, more: Partial<EndedTask> = {}): EndedTask => ({
  status: 'completed',
  created_at: at(minutesAgo + 3),
  started_at: at(minutesAgo + 2),
  completed_at: at(minutesAgo),
  cost: 0.5,
  tokens: 100,
  ...more,
})

test('tasks are counted in the hour in which they ended, the present hour last', () => {
  const {hours, ...day} = dayStats([ended(1), ended(5, {status: 'failed'}), ended(45, {status: 'cancelled'})], now)
  expect(hours).toHaveLength(24)
  expect(hours[23]).toMatchObject({start: Date.UTC(2026, 0, 2, 12), completed: 1, failed: 1, cancelled: 0, cost: 1})
  expect(hours[22]).toMatchObject({completed: 0, failed: 0, cancelled: 1, medianWait: 60_000})
  expect(hours[21]).toMatchObject({completed: 0, cost: 0, medianWait: undefined})
  expect(day).toMatchObject({completed: 1, failed: 1, cancelled: 1, cost: 1.5, tokens: 300, isPart: false})
})

test('what ended before the first hour is not counted, and a task that never began waited for nothing', () => {
  const never = ended(2, {started_at: null, status: 'cancelled', cost: null, tokens: null})
  const day = dayStats([never, ended(26 * 60)], now)
  expect(day).toMatchObject({completed: 0, cancelled: 1, cost: 0, tokens: 0, medianWait: undefined})
})

test('the median and the longest time in the queue are told, and a clock that went back makes no negative time', () => {
  const waited = (minutes: number) => ended(1, {created_at: at(2 + minutes), started_at: at(2)})
  expect(dayStats([waited(1), waited(9), waited(3)], now)).toMatchObject({medianWait: 180_000, longestWait: 540_000})
  expect(dayStats([waited(-5)], now)).toMatchObject({medianWait: 0, longestWait: 0})
})

test('many readers share what was read a moment ago, and hours that are over are read once', () => {
  const reads: string[] = []
  let time = 0
  let later = 0
  const all = [ended(1), ended(90), ended(150, {status: 'failed'}), ended(60 * 20)]
  const endedSince: TaskViews['endedSince'] = (since, limit) => {
    reads.push(since)
    expect(limit).toBe(maxCounted)
    return all.filter(({completed_at}) => completed_at >= since)
  }
  const read = dayStatsReader({endedSince}, {monotonic: () => time})
  expect(read(now)).toBe(read(now))
  expect(reads).toEqual(['2026-01-01T13:00:00.000Z'])
  for (const minutes of [1, 45, 300]) {
    time += 6000
    later = minutes * 60_000
    all.push(ended(-minutes))
    expect(read(now + later), `${minutes} minutes later`).toEqual(dayStats(all, now + later))
  }
  expect(reads.slice(1)).toEqual(['2026-01-02T11:00:00.000Z', '2026-01-02T11:00:00.000Z', '2026-01-02T12:00:00.000Z'])
})
