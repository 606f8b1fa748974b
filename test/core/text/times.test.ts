import {expect, test} from 'vitest'
import {formatDuration} from '../../../src/lib/core/text/times.ts'

test('durations fit a column of nine characters with a space, however long a task waits', () => {
  const hour = 3_600_000
  expect([7000, 754_000, 3 * hour + 1, 99 * hour].map(formatDuration)).toEqual(['0:07', '12:34', '3:00:00', '99:00:00'])
  expect([100 * hour, 24 * 9999 * hour].map(formatDuration)).toEqual(['4d 4h', '9999d 0h'])
})
