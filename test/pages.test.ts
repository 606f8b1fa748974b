import {globSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'

const root = join(import.meta.dirname, '..')

/** The rows of a page's tables that name no existing test in their last column; and how many rows there are. */
function checkPage(page: string): {rows: number; without: string[]} {
  const sources = globSync('test/**/*.test.{ts,tsx}', {cwd: root}).map((file) => readFileSync(join(root, file), 'utf8'))
  const all = sources.join('\n')
  const rows = readFileSync(join(root, page), 'utf8')
    .split('\n')
    .filter(
      (line) => line.startsWith('| ') && !/^\| (---|endpoint|header|promise|name|phrase|case|situation) /.test(line),
    )
  const without = rows.filter((row) => {
    const title = /`([^`]+)` \|$/.exec(row)?.[1]
    return title === undefined || !all.includes(title)
  })
  return {rows: rows.length, without}
}

test('each line of the compatibility page names an existing test', () => {
  const {rows, without} = checkPage('docs/compatibility.md')
  expect(rows).toBeGreaterThan(60)
  expect(without).toEqual([])
})

test('each line of the security page names an existing test', () => {
  const {rows, without} = checkPage('docs/security.md')
  expect(rows).toBeGreaterThan(15)
  expect(without).toEqual([])
})

test('each line of the field page names an existing test', () => {
  expect(checkPage('docs/field.md').without).toEqual([])
})
