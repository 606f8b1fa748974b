import {expect, test} from 'vitest'
import {createRedactor} from '../../src/lib/core/redact.ts'

test('takes out secrets wherever they stand', () => {
  const redact = createRedactor(['s3cret-token', 'a+b(c)$d'])
  expect(redact('x s3cret-token y s3cret-token a+b(c)$d')).toBe('x [redacted] y [redacted] [redacted]')
})

test('takes out a secret in its form within a JSON string', () => {
  const secret = 'pass"word\\with\nlines'
  expect(createRedactor([secret])(JSON.stringify({text: `<${secret}>`}))).toBe('{"text":"<[redacted]>"}')
})

test('takes out the longer of two that begin alike', () => {
  expect(createRedactor(['secret', 'secret-longer'])('secret-longer secret')).toBe('[redacted] [redacted]')
})

test('leaves short ones alone, which would be found in many words', () => {
  expect(createRedactor(['abc', ''])('abc')).toBe('abc')
})

test('takes patterns with flags, groups and references too', () => {
  const redact = createRedactor(['s3cret-token'], [/sk-[a-z0-9]+/, /bearer \S+/i, /(['"])key\1/, /x*/])
  expect(redact('sk-abc1 BEARER tok "key" s3cret-token rest')).toBe('[redacted] [redacted] [redacted] [redacted] rest')
})

test('does nothing when there is nothing to take out', () => {
  expect(createRedactor([])('text')).toBe('text')
})
