import {expect, test} from 'vitest'
import type {Deadlines} from '../../src/lib/executor/executor.ts'
import {type Watchdog, createWatchdog} from '../../src/lib/executor/watchdog.ts'
import {fakeClock} from '../support/fake-clock.ts'

const none: Deadlines = {startup: 0, idle: 0, tool: 0, total: 0, provider: 0, grace: 0}

type Agent = {
  printsAt?: number[]
  hasToolUntil?: number
  doneAt?: number
  leavesAt?: number
  /** From this time on, the last line of its stderr asks for this permission. */
  asks?: {at: number; until?: number; isRejected?: boolean}
  /** It waits for its provider from the first time to the second, and says so if `isKnown`. */
  waits?: {from: number; to: number; isKnown: boolean}
}

/** The time and the reason at which the watchdog ends such an agent. */
async function bark(deadlines: Partial<Deadlines>, agent: Agent) {
  const {printsAt = [], hasToolUntil = 0, doneAt, leavesAt = 1e6, asks, waits} = agent
  const left = new AbortController()
  const todo = [...printsAt]
  const noted: (string | undefined)[] = []
  let watchdog: Watchdog | undefined
  const clock = fakeClock((now) => {
    while (todo[0] !== undefined && todo[0] <= now) {
      todo.shift()
      watchdog?.recordOutput()
    }
    if (now >= leavesAt) left.abort()
  })
  watchdog = createWatchdog({
    deadlines: {...none, ...deadlines},
    clock,
    startedAt: 0,
    signs: () => {
      const now = clock.monotonic()
      const isWaiting = waits !== undefined && now >= waits.from && now < waits.to
      const until = waits?.isKnown ? waits.to : undefined
      const wait = isWaiting ? {provider: 'fake', message: 'Slow down.', since: waits.from, until} : undefined
      return {
        workedAt: undefined,
        isToolRunning: now < hasToolUntil,
        wait,
        state: {state: 'waiting', what: '', since: 0},
      }
    },
    isFinished: () => doneAt !== undefined && clock.monotonic() >= doneAt,
    awaitedPermission: () => {
      const now = clock.monotonic()
      if (!asks || now < asks.at || now >= (asks.until ?? 1e6)) return undefined
      return {what: 'bash (rm)', isRejected: asks.isRejected ?? false}
    },
    describe: () => '',
    onState: () => {},
    isAsking: () => false,
    name: 'OpenCode',
    onWait: (wait) => noted.push(wait?.message),
  })
  const reason = await watchdog.watch(left.signal)
  return {
    at: clock.monotonic(),
    error: reason?.error,
    ...(noted.length > 0 ? {noted, kind: reason?.provider?.kind} : {}),
  }
}

test('an agent that prints nothing is ended after the startup time', async () => {
  expect(await bark({startup: 120_000, idle: 10}, {})).toEqual({
    at: 120_000,
    error: 'OpenCode printed nothing within 120 s of its start (startup_timeout)',
  })
})

test('an agent that falls silent is ended after the idle time', async () => {
  const {at, error} = await bark({startup: 5000, idle: 30_000}, {printsAt: [2000, 10_000]})
  expect(error).toBe('OpenCode printed nothing for 30 s (idle_timeout)')
  expect(at).toBe(40_000)
})

test('a running tool may be silent for longer', async () => {
  const {at, error} = await bark({idle: 30_000, tool: 100_000}, {printsAt: [1000], hasToolUntil: 1e6})
  expect(error).toBe('A tool ran for over 100 s (tool_timeout)')
  expect(at).toBe(101_000)
})

test('after a tool has ended, the idle time starts again', async () => {
  const {at, error} = await bark({idle: 30_000, tool: 100_000}, {printsAt: [1000], hasToolUntil: 60_000})
  expect(error).toContain('idle_timeout')
  expect(at).toBe(89_000)
})

test('the total time limits an agent that prints all the time', async () => {
  const printsAt = Array.from({length: 100}, (_, i) => i * 1000)
  expect(await bark({idle: 30_000, total: 50_500}, {printsAt})).toEqual({
    at: 50_500,
    error: 'Timed out after 50.5 s (task_timeout)',
  })
})

test('an agent that has finished may stay for ten seconds', async () => {
  const {at, error} = await bark({}, {printsAt: [5000], doneAt: 5000})
  expect(at).toBe(15_000)
  expect(error).toContain('did not exit')
})

test('a limit of 0 means no limit', async () => {
  expect(await bark({}, {leavesAt: 900_000})).toEqual({at: 900_000, error: undefined})
})

test('an agent that waits for a permission is ended within seconds, with the name of the permission', async () => {
  const deadlines = {startup: 120_000, idle: 600_000, tool: 600_000}
  const {at, error} = await bark(deadlines, {printsAt: [2000], asks: {at: 3000}, hasToolUntil: 1e6})
  expect(error).toBe(
    'stopped by a permission that nobody could give: bash (rm); allow or deny it in the setting `permissions`',
  )
  expect(at).toBe(8000)
})

test('an agent that continues after a permission request, or is refused one while a tool runs, keeps its other limits', async () => {
  const idle = await bark({idle: 30_000}, {printsAt: [2000, 6000], asks: {at: 3000, until: 6000}})
  expect(idle).toEqual({at: 36_000, error: expect.stringContaining('idle_timeout')})
  const refused = {at: 3000, isRejected: true}
  const busy = await bark({tool: 60_000}, {printsAt: [2000], asks: refused, hasToolUntil: 1e6})
  expect(busy).toEqual({at: 62_000, error: expect.stringContaining('tool_timeout')})
  expect((await bark({idle: 60_000}, {printsAt: [2000], asks: refused})).at).toBe(8000)
})

test.each([true, false])(
  'a wait for the provider counts neither as a slow start nor as silence (its end is known: %s)',
  async (isKnown) => {
    const waits = {from: 5000, to: 155_000, isKnown}
    const limits = {startup: 120_000, idle: 30_000, provider: 900_000}
    const begins = await bark(limits, {waits, printsAt: [156_000], doneAt: 156_000, leavesAt: 157_000})
    expect(begins).toMatchObject({at: 157_000, error: undefined, noted: ['Slow down.', undefined]})
    const hangs = await bark(limits, {waits, printsAt: [2000]})
    expect(hangs).toMatchObject({error: expect.stringContaining('idle_timeout')})
    expect(hangs.at).toBeGreaterThan(180_000)
  },
)

test('a wait that is longer than the provider gets ends the run: at once if its end is known, else when it is over', async () => {
  const error = expect.stringMatching(/^Slow down\. \(the provider fake .*; max_provider_wait is 900 s\)$/)
  const known = await bark({provider: 900_000}, {waits: {from: 5000, to: 86_405_000, isKnown: true}})
  expect(known).toMatchObject({at: 5000, error, kind: 'rate_limit'})
  const unknown = await bark({provider: 900_000}, {waits: {from: 5000, to: 86_405_000, isKnown: false}})
  expect(unknown).toMatchObject({error})
  expect(unknown.at).toBeGreaterThan(905_000)
  expect(unknown.at).toBeLessThan(907_000)
})
