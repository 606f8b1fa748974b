import {globSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'

const root = join(import.meta.dirname, '..')

test('each line of the compatibility page names an existing test', () => {
  const sources = globSync('test/**/*.test.{ts,tsx}', {cwd: root}).map((file) => readFileSync(join(root, file), 'utf8'))
  const all = sources.join('\n')
  const rows = readFileSync(join(root, 'docs/compatibility.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (---|endpoint|header|promise|name|phrase|case) /.test(line))
  expect(rows.length).toBeGreaterThan(60)
  const without = rows.filter((row) => {
    const title = /`([^`]+)` \|$/.exec(row)?.[1]
    return title === undefined || !all.includes(title)
  })
  expect(without).toEqual([])
})
