import {expect, test} from 'vitest'
import {clientOf, sourceOf} from '../../../src/lib/server/limits/clients.ts'
import {connectionLimits} from '../../../src/lib/server/limits/connections.ts'
import {Refusals} from '../../../src/lib/server/limits/refusals.ts'
import {TokenBuckets} from '../../../src/lib/server/limits/token-buckets.ts'
import {WrongTokens} from '../../../src/lib/server/limits/wrong-tokens.ts'
import {fakeClock} from '../../support/fake-clock.ts'
import {until} from '../support/plane.ts'

test('a client may send a burst, and then so many requests per second; others are not affected', () => {
  const clock = fakeClock()
  const buckets = new TokenBuckets({perSecond: 10, burst: 100, clock})
  const taken = (key: string) => Array.from({length: 1000}, () => buckets.take(key)).filter((wait) => wait === 0).length
  expect([taken('a'), taken('b')]).toEqual([100, 100])
  expect(buckets.take('a')).toBeCloseTo(100)
  clock.advance(2000)
  expect(taken('a')).toBe(20)
  clock.advance(60 * 60_000)
  expect(taken('a')).toBe(100)
})

test('neither the rates of a million addresses nor their wrong tokens are remembered', () => {
  const clock = fakeClock()
  const buckets = new TokenBuckets({perSecond: 10, burst: 100, clock})
  const wrong = new WrongTokens(clock)
  for (let i = 0; i < 1_000_000; i++) {
    buckets.take(`address ${i}`)
    wrong.record(`address ${i}`)
  }
  for (const {size} of [buckets, wrong]) expect(size).toBeLessThanOrEqual(10_000)
})

test('wrong tokens cost nothing at first, then ever longer waits up to a minute, and are forgotten', () => {
  const clock = fakeClock()
  const wrong = new WrongTokens(clock)
  const waits = Array.from({length: 20}, () => wrong.record('10.0.0.5'))
  expect(waits).toEqual([...Array<number>(10).fill(0), 1, 2, 4, 8, 16, 32, 60, 60, 60, 60])
  expect(wrong.record('10.0.0.6')).toBe(0)
  clock.advance(11 * 60_000)
  expect(wrong.record('10.0.0.5')).toBe(0)
})

test('a token counts wherever it is used, otherwise the address; of IPv6 the network; loopback is free', () => {
  expect(
    ['::ffff:10.0.0.5', '10.0.0.5', '2001:db8:0:7:1:2:3:4', '2001:db8:0:7::9', '2001:db8::', undefined].map(sourceOf),
  ).toEqual([...['10.0.0.5', '10.0.0.5', '2001:db8:0:7::/64', '2001:db8:0:7::/64', '2001:db8:0:0::/64', 'unknown']])
  const known = {mode: 'required', hashes: new Set<string>(), workerIds: new Set<string>()} as const
  const token = {name: 'ci', scope: 'client', hash: 'h', known} as const
  expect(clientOf(token, '10.0.0.5')).toEqual(clientOf(token, '127.0.0.1'))
  const free = ['127.0.0.1', '::1', '::ffff:127.0.0.1', '10.0.0.5', '::2:0:0:0:1', undefined]
  expect(free.map((address) => clientOf(undefined, address).isFree)).toEqual([true, true, true, false, false, false])
  expect(clientOf(token, '127.0.0.1').isFree).toBe(false)
})

test('the number of connections follows from the number of files, and leaves some for the rest', () => {
  const all = (files: number) => Object.values(connectionLimits(files)).reduce((sum, count) => sum + count, 0)
  for (const files of [64, 128, 256, 1024, 4096]) expect(files - all(files)).toBeGreaterThanOrEqual(48)
  expect(all(1024)).toBe(820)
  expect(all(1_000_000)).toBe(16_384)
  expect(all(20)).toBe(8)
})

test('refusals are one line a minute, with a count and whoever caused most; single ones of some kinds are no news', async () => {
  const lines: string[] = []
  const refusals = new Refusals((line) => lines.push(line), 50)
  for (let i = 0; i < 10_000; i++) refusals.count('wrong-token', i % 10 === 0 ? `10.0.1.${i % 256}` : '10.0.0.5')
  refusals.count('no-token', '10.0.0.7')
  await until(() => lines.length > 0)
  expect(lines).toEqual([
    expect.stringMatching(
      /^10000 requests with a wrong token in the last 0 s, from 10.0.0.5 \(9000\), .*and \d+ more$/,
    ),
  ])
  refusals.count('rate', 'token ci')
  await until(() => lines.length > 1)
  expect(lines[1]).toContain('1 requests refused by --max-requests')
})
