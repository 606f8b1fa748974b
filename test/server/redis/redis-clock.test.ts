import {expect, test} from 'vitest'
import {RedisClock} from '../../../src/lib/server/redis/redis-clock.ts'

/** A clock of a process at `own`, and what it told of jumps. */
function clockAt(own: number) {
  const at = {own, jumps: [] as number[]}
  const clock = new RedisClock((ms) => at.jumps.push(ms), {monotonic: () => at.own, sleep: async () => {}})
  return {at, clock}
}

test('it runs on between two readings, and takes half of the way of a request for its age', () => {
  const {at, clock} = clockAt(1000)
  at.own = 1010
  clock.read(500_000, 1000)
  expect(clock.monotonic()).toBe(500_005)
  at.own = 1110
  expect(clock.monotonic()).toBe(500_105)
  expect(clock.now()).toBe(500_105)
})

test('a small difference is corrected in steps, and it never goes back', () => {
  const {at, clock} = clockAt(0)
  clock.read(500_000, 0)
  const before = clock.monotonic()
  clock.read(499_900, 0)
  expect(clock.monotonic()).toBe(before)
  at.own = 1000
  expect(clock.monotonic()).toBeCloseTo(500_990, 6)
  expect(at.jumps).toEqual([])
})

test('a clock that was set forward counts at once and is told, one that was set back is told and does not count', () => {
  const {at, clock} = clockAt(0)
  clock.read(500_000, 0)
  clock.read(4_100_000, 0)
  expect([clock.monotonic(), at.jumps]).toEqual([4_100_000, [3_600_000]])
  clock.read(500_000, 0)
  at.own = 1000
  clock.read(501_000, 1000)
  expect([clock.monotonic(), at.jumps]).toEqual([4_101_000, [3_600_000, -3_600_000]])
})

test('a wrong clock of this machine counts for nothing once Redis was read', () => {
  const {clock} = clockAt(1000)
  expect(clock.monotonic()).toBeGreaterThan(1e12)
  clock.read(500_000, 1000)
  expect(clock.monotonic()).toBe(500_000)
})

test('no replica is behind another one, whatever their clocks say', () => {
  const {at, clock} = clockAt(0)
  clock.read(500_000, 0)
  clock.reached(500_100)
  expect([clock.monotonic(), at.jumps]).toEqual([500_100, []])
  clock.reached(400_000)
  expect(clock.monotonic()).toBe(500_100)
  clock.reached(4_100_000)
  at.own = 10
  expect([clock.monotonic(), at.jumps]).toEqual([4_100_010, [3_599_900]])
  clock.read(500_010, 10)
  expect(clock.monotonic()).toBe(4_100_010)
})
