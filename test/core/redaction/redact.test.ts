import {expect, test} from 'vitest'
import {createRedactor} from '../../../src/lib/core/redaction/redact.ts'

test('redacts secrets anywhere in a text', () => {
  const redact = createRedactor(['s3cret-token', 'a+b(c)$d'])
  expect(redact('x s3cret-token y s3cret-token a+b(c)$d')).toBe('x [redacted] y [redacted] [redacted]')
})

test('redacts a secret that is escaped within a JSON string, and within JSON in a JSON string', () => {
  const secret = 'pass"word\\with\nlines'
  const redact = createRedactor([secret])
  const once = JSON.stringify({text: `<${secret}>`})
  expect(redact(once)).toBe('{"text":"<[redacted]>"}')
  expect(redact(JSON.stringify(once))).toBe(JSON.stringify('{"text":"<[redacted]>"}'))
})

test.each(['s3cret-token', 'pä$$ w/ord+1?', 'sk-0123456789abcdefghijklmnop'])(
  'redacts %s in a URL, in hex, and in base64 at each alignment',
  (secret) => {
    const redact = createRedactor([secret])
    const bytes = Buffer.from(secret)
    const shown = [
      encodeURIComponent(secret),
      new URLSearchParams({k: secret}).toString().slice(2),
      bytes.toString('hex'),
    ]
    for (const text of [...shown, bytes.toString('hex').toUpperCase()])
      expect(redact(`x ${text} y`)).toBe('x [redacted] y')
    for (const before of ['', 'a', 'ab', 'abc', 'user:'])
      for (const encoding of ['base64', 'base64url'] as const) {
        const text = Buffer.from(`${before}${secret}:after`).toString(encoding)
        expect(redact(text)).toContain('[redacted]')
        // what is left are the characters that the secret shares with its neighbours
        expect(redact(text).replace('[redacted]', '').length).toBeLessThanOrEqual(
          Math.ceil(((before.length + ':after'.length) * 8) / 6) + 4,
        )
      }
  },
)

test('redacts each line of a secret of several lines', () => {
  const key =
    '-----BEGIN KEY-----\nMIIEvgIBADANBgkqhkiG9w0BAQEFAASC\nBKgwggSkAgEAAoIBAQC7VJTUt9Us8cKj\n-----END KEY-----'
  const redact = createRedactor([key])
  expect(redact(`  | BKgwggSkAgEAAoIBAQC7VJTUt9Us8cKj\n`)).toBe('  | [redacted]\n')
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

test('a text is cut neither within a secret nor where one may have begun', () => {
  const redact = createRedactor(['s3cret-token', 's3cret-token-longer', 'other-secret'], [/key=\S+/])
  const cut = (text: string) => text.slice(0, createRedactor(['s3cret-token', 's3cret-token-longer']).safeLength(text))
  expect(cut('before s3cr')).toBe('before ')
  expect(cut('before s3cret-token')).toBe('before ') // it may be the longer one
  expect(cut('before s3cret-token after')).toBe('before s3cret-token after')
  const long = `${'x'.repeat(1000)}key=abc${'y'.repeat(100)}`
  expect(long.slice(0, redact.safeLength(long)).length).toBeLessThan(1000)
})
