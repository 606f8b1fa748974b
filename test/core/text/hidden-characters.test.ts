import {expect, test} from 'vitest'
import {escapeHidden, showHidden} from '../../../src/lib/core/text/hidden-characters.ts'

test('controls, format characters and separators of lines are shown as codes', () => {
  expect(showHidden('left \u202eright\u2066\u200f \ufeffx\u00ad')).toBe(
    'left <U+202E>right<U+2066><U+200F> <U+FEFF>x<U+00AD>',
  )
  expect(showHidden('a\u2028b\u2029c\u0007\u009b\u0000')).toBe('a<U+2028>b<U+2029>c<U+0007><U+009B><U+0000>')
  expect(showHidden('x\u{e0041}\u{e007f}')).toBe('x<U+E0041><U+E007F>')
  expect(showHidden(`x${'\0'.repeat(4_000_000)}${'\u200b'.repeat(3)}`)).toBe(
    `x<U+0000 ×4000000>${'<U+200B>'.repeat(3)}`,
  )
  expect(showHidden('\n\n\n\n\n', {kept: '\n'})).toBe('\n\n\n\n\n')
  expect(showHidden('one\ntwo\tthree', {kept: '\n\t'})).toBe('one\ntwo\tthree')
  expect(showHidden('Grüße, 你好, नमस्ते, مرحبا')).toBe('Grüße, 你好, नमस्ते, مرحبا')
})

test('a joiner stays within an emoji, and is shown anywhere else', () => {
  for (const emoji of ['👩‍👩‍👧', '👩🏽‍💻', '🏳️‍🌈', '❤️‍🔥']) expect(showHidden(emoji)).toBe(emoji)
  expect(showHidden('ad\u200dmin')).toBe('ad<U+200D>min')
  expect(showHidden('👩\u200d')).toBe('👩<U+200D>')
  expect(showHidden('👩\u200dx')).toBe('👩<U+200D>x')
})

test('colours stay where they are ours, and other escape sequences never', () => {
  expect(showHidden('\u001b[31mred\u001b[0m', {keepsColours: true})).toBe('\u001b[31mred\u001b[0m')
  expect(showHidden('\u001b[2J\u001b]0;title\u0007', {keepsColours: true})).toBe('<U+001B>[2J<U+001B>]0;title<U+0007>')
  expect(showHidden('\u001b[31mred')).toBe('<U+001B>[31mred')
})

test('JSON keeps its value, and has no hidden character', () => {
  const value = {text: 'a\u202eb\u2028\u{e0041}\u0007\ud800 👩‍👧', list: ['\ufeff']}
  const json = escapeHidden(JSON.stringify(value, null, 2))
  expect(JSON.parse(json)).toEqual(value)
  expect(json).not.toMatch(/[\p{Cf}\u2028\u2029]/u)
  expect(json).toContain(String.raw`a\u202eb\u2028\udb40\udc41`)
})
