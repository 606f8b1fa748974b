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

test('many readers share what was read a moment ago', () => {
  let reads = 0
  let time = 0
  const endedSince: TaskViews['endedSince'] = (since, limit) => {
    reads += 1
    expect(since).toBe('2026-01-01T13:00:00.000Z')
    expect(limit).toBe(maxCounted)
    return [ended(1)]
  }
  const read = dayStatsReader({endedSince}, {monotonic: () => time})
  expect(read(now)).toBe(read(now))
  expect(reads).toBe(1)
  time = 6000
  expect(read(now).completed).toBe(1)
  expect(reads).toBe(2)
})
