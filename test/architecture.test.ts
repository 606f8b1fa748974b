import {globSync, readFileSync} from 'node:fs'
import {dirname, join, normalize} from 'node:path'
import {expect, test} from 'vitest'

/**
 * The rooms of src/lib, lowest first. A room imports only from itself and from rooms before it. A folder with inner
 * rooms is listed after them: its own files are on top.
 */
const rooms = [
  'core',
  'protocol',
  'events',
  'config',
  'opencode/output',
  'opencode/program',
  'opencode/storage',
  'client',
  'journal',
  'sessions',
  'executor',
  'worker/locks',
  'worker/disk',
  'worker/registration',
  'worker/intake',
  'worker/run',
  'worker/recovery',
  'worker',
  'control',
  'server/store',
  'server/http',
  'server/streams',
  'server/dispatch',
  'server/tasks',
  'server/registry',
  'server/sessions',
  'server/monitor',
  'server',
  'doctor',
  'ui/text',
  'ui/view',
  'ui/dashboard',
  'service/machine',
  'service/units',
  'service',
  'daemon',
]
const maxFiles = 20

const root = join(import.meta.dirname, '..')
const lib = join(root, 'src/lib')
const files = globSync('**/*.{ts,tsx}', {cwd: lib}).sort()
/** Matches static imports, type imports, re-exports, dynamic imports and worker threads. */
const importPattern = /(?:\bfrom|\bimport\(|^import|\bURL\()\s*['"`](\.{1,2}\/[^'"`$]+)/gm

const importsOf = (file: string) =>
  [...readFileSync(join(lib, file), 'utf8').matchAll(importPattern)]
    .map(([, target = '']) => normalize(join(dirname(file), target)))
    .map((target) => (files.includes(`${target}.ts`) ? `${target}.ts` : target)) // the worker thread has no suffix there
const graph = new Map(files.map((file) => [file, importsOf(file)]))

test('each folder of src/lib is a known room of at most 20 files', () => {
  const sizes = new Map<string, number>()
  for (const file of files) sizes.set(dirname(file), (sizes.get(dirname(file)) ?? 0) + 1)
  expect([...sizes.keys()].sort()).toEqual(rooms.toSorted())
  expect([...sizes].filter(([, size]) => size > maxFiles)).toEqual([])
})

test('a room of src/lib imports only from itself and from rooms before it', () => {
  const wrong = [...graph].flatMap(([file, imports]) =>
    imports
      .filter((target) => rooms.indexOf(dirname(target)) > rooms.indexOf(dirname(file)))
      .map((target) => `${file} → ${target}`),
  )
  expect(wrong).toEqual([])
  expect(
    [...graph.values()].flat().filter((target) => !target.startsWith('..') && !graph.has(target)),
    'imports that this test cannot resolve',
  ).toEqual([])
})

test('no files of src/lib import each other in a circle, type imports included', () => {
  const state = new Map<string, 'open' | 'done'>()
  const circles: string[] = []
  const visit = (file: string, path: readonly string[]) => {
    if (state.get(file) === 'open') circles.push([...path.slice(path.indexOf(file)), file].join(' → '))
    if (state.has(file)) return
    state.set(file, 'open')
    for (const target of graph.get(file) ?? []) visit(target, [...path, file])
    state.set(file, 'done')
  }
  for (const file of files) visit(file, [])
  expect(circles).toEqual([])
})

test('the tests of a room are in the folder of the same name', () => {
  const folders = new Set(globSync('test/**/*.test.{ts,tsx}', {cwd: root}).map((file) => dirname(file).slice(5)))
  const others = ['', 'commands', 'e2e']
  expect([...folders].filter((folder) => !rooms.includes(folder) && !others.includes(folder))).toEqual([])
})

test('the library does not print and does not read the environment', () => {
  const wrong = files.filter((file) => /process\.env|console\.(log|error)/.test(readFileSync(join(lib, file), 'utf8')))
  expect(wrong).toEqual([])
})

test('the lockfile names no download address', () => {
  expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved": "https?:/)
})
