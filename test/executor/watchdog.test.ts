import {expect, test} from 'vitest'
import type {Deadlines} from '../../src/lib/executor/executor.ts'
import {type Watchdog, createWatchdog} from '../../src/lib/executor/watchdog.ts'
import {fakeClock} from '../support/fake-clock.ts'

const none: Deadlines = {startup: 0, idle: 0, tool: 0, total: 0, grace: 0}

type Agent = {printsAt?: number[]; hasToolUntil?: number; doneAt?: number; leavesAt?: number}

/** When, and why, the watchdog of such an agent barks. */
async function bark(deadlines: Partial<Deadlines>, {printsAt = [], hasToolUntil = 0, doneAt, leavesAt = 1e6}: Agent) {
  const left = new AbortController()
  const todo = [...printsAt]
  let watchdog: Watchdog | undefined
  const clock = fakeClock((now) => {
    while (todo[0] !== undefined && todo[0] <= now) {
      todo.shift()
      watchdog?.sawOutput()
    }
    if (now >= leavesAt) left.abort()
  })
  watchdog = createWatchdog({
    deadlines: {...none, ...deadlines},
    clock,
    startedAt: 0,
    isToolRunning: () => clock.monotonic() < hasToolUntil,
    isFinished: () => doneAt !== undefined && clock.monotonic() >= doneAt,
  })
  const reason = await watchdog.watch(left.signal)
  return {at: clock.monotonic(), error: reason?.error}
}

test('an agent that prints nothing is given up after the time for its start', async () => {
  expect(await bark({startup: 120_000, idle: 10}, {})).toEqual({
    at: 120_000,
    error: 'OpenCode printed nothing within 120 s of its start (startup_timeout)',
  })
})

test('an agent that falls silent is given up after the idle time', async () => {
  const {at, error} = await bark({startup: 5000, idle: 30_000}, {printsAt: [2000, 10_000]})
  expect(error).toBe('OpenCode printed nothing for 30 s (idle_timeout)')
  expect(at).toBe(40_000)
})

test('a running tool may be silent for longer', async () => {
  const {at, error} = await bark({idle: 30_000, tool: 100_000}, {printsAt: [1000], hasToolUntil: 1e6})
  expect(error).toBe('A tool ran for over 100 s (tool_timeout)')
  expect(at).toBe(101_000)
})

test('after a tool has ended the idle time begins anew', async () => {
  const {at, error} = await bark({idle: 30_000, tool: 100_000}, {printsAt: [1000], hasToolUntil: 60_000})
  expect(error).toContain('idle_timeout')
  expect(at).toBe(89_000)
})

test('the total time holds for an agent that prints all the time', async () => {
  const printsAt = Array.from({length: 100}, (_, i) => i * 1000)
  expect(await bark({idle: 30_000, total: 50_500}, {printsAt})).toEqual({
    at: 50_500,
    error: 'Timed out after 50.5 s (task_timeout)',
  })
})

test('an agent that is done may stay for ten seconds', async () => {
  const {at, error} = await bark({}, {printsAt: [5000], doneAt: 5000})
  expect(at).toBe(15_000)
  expect(error).toContain('did not exit')
})

test('a deadline of 0 is none', async () => {
  expect(await bark({}, {leavesAt: 900_000})).toEqual({at: 900_000, error: undefined})
})
