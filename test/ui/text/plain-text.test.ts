import {expect, test} from 'vitest'
import {padToWidth, truncateToWidth, toPlain, textWidth, wrap} from '../../../src/lib/ui/text/plain-text.ts'

test('escape sequences are removed, and hidden characters are codes', () => {
  expect(toPlain('a\u001b[31mred\u001b[0m\u001b]0;title\u0007\u001b[2Jb')).toBe('aredb')
  expect(toPlain('one\ntwo\rthree\tfour\u0007\u009bfive')).toBe('one two three four<U+0007><U+009B>five')
  expect(toPlain('left \u202eright\u2066 \ufeffjoined\u200d')).toBe('left <U+202E>right<U+2066> <U+FEFF>joined<U+200D>')
})

test('characters of ambiguous width are replaced by characters of known width', () => {
  expect(toPlain('👩‍👩‍👧 👍🏽 🇩🇪 1️⃣ ☺️')).toBe('👩👩👧 👍 DE 1 ☺')
  expect(toPlain(`z${'\u0301'.repeat(50)}`)).toBe('ź\u0301\u0301')
  expect(toPlain('\u1112\u1161\u11ab')).toBe('한')
  expect(toPlain('\ud800 \u1161 \ue000')).toBe('\ufffd \ufffd \ufffd')
})

test('texts are truncated and padded by cells, not by characters', () => {
  expect(textWidth('日本語')).toBe(6)
  expect(truncateToWidth('日本語', 6)).toBe('日本語')
  expect(truncateToWidth('日本語', 5)).toBe('日本…')
  expect(truncateToWidth('日本語', 4)).toBe('日…')
  expect(padToWidth('日本語', 5)).toBe('日本…')
  expect(padToWidth('日本', 5)).toBe('日本 ')
  expect(truncateToWidth('plain', 0)).toBe('')
  expect(truncateToWidth('plain', 1)).toBe('…')
  for (const cells of [1, 2, 3, 10, 79])
    expect(textWidth(padToWidth('mixed 日本語 👍🏽 e\u0301 text that goes on', cells)), `${cells} cells`).toBe(cells)
})

test('a long text is wrapped at spaces if that wastes little, and within words otherwise', () => {
  expect(wrap('the quick brown fox', 10)).toEqual(['the quick', 'brown fox'])
  expect(wrap('abcdefghijkl', 5)).toEqual(['abcde', 'fghij', 'kl'])
  expect(wrap('日本語日本語', 5)).toEqual(['日本', '語日', '本語'])
  expect(wrap('', 5)).toEqual([''])
  expect(wrap('日本', 1)).toEqual(['日', '本'])
})
