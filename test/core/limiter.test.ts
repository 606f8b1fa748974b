import {expect, test} from 'vitest'
import {limiter} from '../../src/lib/core/limiter.ts'

test('the limiter runs at most the given number of jobs at once, in order, even if some fail', async () => {
  const turn = limiter(2)
  const begun: number[] = []
  let running = 0
  let most = 0
  const work = (i: number) => async () => {
    begun.push(i)
    most = Math.max(most, (running += 1))
    await new Promise((resolve) => setTimeout(resolve, 5))
    running -= 1
    if (i % 3 === 0) throw new Error('failed')
    return i
  }
  const all = await Promise.allSettled([0, 1, 2, 3, 4, 5].map((i) => turn(work(i))))
  expect(all.map(({status}) => status === 'fulfilled')).toEqual([false, true, true, false, true, true])
  expect(begun).toEqual([0, 1, 2, 3, 4, 5])
  expect(most).toBe(2)
})
