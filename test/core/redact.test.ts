import {expect, test} from 'vitest'
import {createRedactor} from '../../src/lib/core/redact.ts'

test('redacts secrets anywhere in a text', () => {
  const redact = createRedactor(['s3cret-token', 'a+b(c)$d'])
  expect(redact('x s3cret-token y s3cret-token a+b(c)$d')).toBe('x [redacted] y [redacted] [redacted]')
})

test('redacts a secret that is escaped within a JSON string', () => {
  const secret = 'pass"word\\with\nlines'
  expect(createRedactor([secret])(JSON.stringify({text: `<${secret}>`}))).toBe('{"text":"<[redacted]>"}')
})

test('redacts the longer of two secrets with the same beginning', () => {
  expect(createRedactor(['secret', 'secret-longer'])('secret-longer secret')).toBe('[redacted] [redacted]')
})

test('ignores short secrets, because many words contain them', () => {
  expect(createRedactor(['abc', ''])('abc')).toBe('abc')
})

test('redacts by patterns with flags, groups and references', () => {
  const redact = createRedactor(['s3cret-token'], [/sk-[a-z0-9]+/, /bearer \S+/i, /(['"])key\1/, /x*/])
  expect(redact('sk-abc1 BEARER tok "key" s3cret-token rest')).toBe('[redacted] [redacted] [redacted] [redacted] rest')
})

test('leaves the text unchanged without secrets and patterns', () => {
  expect(createRedactor([])('text')).toBe('text')
})
