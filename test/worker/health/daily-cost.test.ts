import {afterAll, expect, test} from 'vitest'
import type {Config} from '../../../src/lib/config/settings.ts'
import {DailyCost} from '../../../src/lib/worker/health/daily-cost.ts'
import {limitsOf} from '../../../src/lib/worker/run/run-request.ts'
import {fakeClock} from '../../support/fake-clock.ts'
import {scratchFolder} from '../../support/scratch.ts'

const scratch = scratchFolder()
afterAll(() => scratch[Symbol.dispose]())
const hourMs = 60 * 60_000

test('what is spent in a day counts across restarts, and the next day begins at nothing', () => {
  const clock = fakeClock()
  clock.advance(Date.UTC(2026, 0, 1, 23))
  const problems: string[] = []
  const open = () =>
    new DailyCost({workerDir: scratch.path, clock, limit: () => 2, onProblem: (text) => problems.push(text)})
  const first = open()
  expect([first.left(), first.obstacle()]).toEqual([2, undefined])
  first.add(1.5)
  expect(open().left()).toBe(0.5)
  open().add(0.75)
  const reason = 'the tasks of today have cost $2.25 (max_cost_per_day)'
  expect(open().obstacle()).toEqual({reason, retryMs: hourMs})
  clock.advance(hourMs)
  expect(open().left()).toBe(2)
  expect(problems).toEqual([])
})

test('a task may lower the limits of the worker, and not raise them', () => {
  const config = {max_cost: 2, max_tokens: 0, max_turns: 10} as Config
  const limits = (metadata: Record<string, unknown>, left?: number) => limitsOf({metadata}, config, left)
  expect(limits({})).toEqual({cost: 2, tokens: undefined, turns: 10})
  expect(limits({max_cost: 0.5, max_tokens: 1000, max_turns: 50})).toEqual({cost: 0.5, tokens: 1000, turns: 10})
  expect(limits({max_cost: '1', max_turns: 'many'})).toMatchObject({cost: 1, turns: 10})
  expect(limits({max_cost: -1}, 0.25)).toMatchObject({cost: 0.25})
  expect(limits({}, 0)).toMatchObject({cost: 0})
})
