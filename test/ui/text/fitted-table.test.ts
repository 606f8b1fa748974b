import {expect, test} from 'vitest'
import {fittedTable, noScreen, type Column} from '../../../src/lib/ui/text/fitted-table.ts'
import {unpainted} from '../../../src/lib/ui/text/paint.ts'
import {textWidth} from '../../../src/lib/ui/text/plain-text.ts'
import {shortIds} from '../../../src/lib/ui/text/short-ids.ts'

const columns: Column[] = [
  {heading: 'ID'},
  {heading: 'SEEN', omit: 1},
  {heading: 'PATH', min: 8, keepsEnd: true},
  {heading: 'TITLE', min: 6},
]
const rows = [
  ['abc', '5 s', '/srv/somewhere/deep', '日本語のとても長い題'],
  ['d', '12 min', '/x', 'short'],
]

test('a table is no wider than the terminal: its widest columns are shortened first, then some are left out', () => {
  const at = (width: number) => fittedTable(columns, rows, {width, paint: unpainted}).split('\n')
  for (const width of [25, 30, 40, 50, 60, 80])
    for (const line of at(width)) expect(textWidth(line)).toBeLessThanOrEqual(width)
  expect(at(80)).toEqual(fittedTable(columns, rows, noScreen).split('\n'))
  expect(at(45)[1]).toMatch(/^abc {2}5 s {5}….*deep {2}日本語.*…$/)
  expect(at(25)[0]).toMatch(/^ID +PATH +TITLE$/)
})

test('shortened ids are as long as it takes to tell them apart', () => {
  const long = ['ses_alpha1xyz', 'ses_alpha2xyz', 'b']
  expect(long.map(shortIds(long))).toEqual(['ses_alpha1', 'ses_alpha2', 'b'])
  expect(shortIds(['0123456789ab', 'fedcba987654'])('0123456789ab')).toBe('01234567')
})
