import {globSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'

/** A folder of src/lib imports only from itself and from those before it. */
const order = [
  'core',
  'protocol',
  'events',
  'config',
  'opencode',
  'client',
  'journal',
  'sessions',
  'executor',
  'worker',
  'control',
  'server',
  'doctor',
  'ui',
  'service',
  'daemon',
]
const lib = join(import.meta.dirname, '../src/lib')

test('a folder of src/lib imports only from folders before it', () => {
  const wrong: string[] = []
  for (const file of globSync('**/*.{ts,tsx}', {cwd: lib})) {
    const folder = file.split('/')[0] ?? ''
    expect(order, `the folder of ${file}`).toContain(folder)
    for (const [, target = ''] of readFileSync(join(lib, file), 'utf8').matchAll(
      /(?:from|import\() ?'\.\.\/([a-z]+)\//g,
    ))
      if (order.indexOf(target) > order.indexOf(folder)) wrong.push(`${file} → ${target}`)
  }

  expect(wrong).toEqual([])
})

test('the library does not print and does not read the environment', () => {
  const wrong = globSync('**/*.{ts,tsx}', {cwd: lib}).filter((file) =>
    /process\.env|console\.(log|error)/.test(readFileSync(join(lib, file), 'utf8')),
  )
  expect(wrong).toEqual([])
})

test('the lockfile names no download address', () => {
  expect(readFileSync(join(lib, '../../package-lock.json'), 'utf8')).not.toMatch(/"resolved": "https?:/)
})
