import {expect, test} from 'vitest'
import {boundedLabel, modelLabel} from '../../src/lib/metrics/bounded-label.ts'
import {outcomeReason, outcomeReasons, outcomes} from '../../src/lib/metrics/outcome-reason.ts'
import {reconnectReason} from '../../src/lib/metrics/reconnect-reason.ts'

test('a label keeps its first values, and all further ones and all odd ones are other', () => {
  const label = boundedLabel(2)
  expect(['a', 'b', 'c', 'a', 'd'].map(label)).toEqual(['a', 'b', 'other', 'a', 'other'])
  const model = modelLabel()
  for (const odd of ['x'.repeat(101), 'a"b', 'a\nb', 'a\\', '{x="y"}', 'a b', 'ü', '__proto__ '])
    expect(model(odd), odd).toBe('other')
  expect(model('anthropic/claude-sonnet-4.5')).toBe('anthropic/claude-sonnet-4.5')
  for (const none of [null, undefined, '']) expect(model(none)).toBe('default')
  const values = new Set(Array.from({length: 10_000}, (_, i) => model(`model-${i}`)))
  expect(values.size).toBe(30) // 29 after the one above, and `other`
})

test('the reason of an outcome is one of a few words, whatever the error says', () => {
  expect(outcomeReason('completed', null)).toBe('none')
  expect(outcomeReason('cancelled', 'Timed out after 5 s (task_timeout)')).toBe('cancelled')
  for (const [error, reason] of [
    ['Timed out after 5 s (task_timeout)', 'timeout'],
    ['OpenCode printed nothing for 900 s (idle_timeout); a tool runs', 'timeout'],
    ['overloaded (the provider x has refused since 2026; max_provider_wait is 900 s)', 'provider'],
    ['the task printed more than 1 GiB (setting max_output_mb)', 'limit'],
    ['out of memory: the kernel killed a process of the run.', 'memory'],
    ['the disk is full: ENOSPC', 'disk'],
    ['stopped by a permission that nobody could give: edit', 'permission'],
    ['worker lost since 2026-01-01', 'lost'],
    ['Worker shut down while the task ran', 'shutdown'],
    ['OpenCode exited with code 1 before the task was done', 'agent'],
    ['something else', 'other'],
    [`${'x'.repeat(1_000_000)}(task_timeout)`, 'other'],
    [null, 'other'],
  ] as const)
    expect(outcomeReason('failed', error), String(error).slice(0, 50)).toBe(reason)
  expect(outcomes.map(({reason}) => reason).sort()).toEqual([...outcomeReasons].sort())
})

test('the reason of a lost stream is one of a few words', () => {
  for (const [text, reason] of [
    ['the server ended the stream', 'ended'],
    ['the server does not know this stream any more', 'forgotten'],
    ['the codebases have changed', 'settings'],
    ['The task stream broke: http://h: the answer stalled.', 'silent'],
    ['The task stream broke: http://h answered 503', 'refused'],
    ['The task stream broke: http://h: nothing listens there (connection refused).', 'network'],
    ['????', 'other'],
  ] as const)
    expect(reconnectReason(text), text).toBe(reason)
})
