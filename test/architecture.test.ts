import {globSync, readFileSync} from 'node:fs'
import {dirname, join, normalize} from 'node:path'
import {expect, test} from 'vitest'

const maxFiles = 20

const root = join(import.meta.dirname, '..')
const lib = join(root, 'src/lib')

/** The rooms of src/lib and what each imports, as the table of ARCHITECTURE.md lists them, lowest first. */
const documented = new Map(
  [...readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').matchAll(/^\| `([\w/]+)` \| .* \| (.*) \|$/gm)].map(
    ([, room = '', imports = '']) => [room, [...imports.matchAll(/`([\w/]+)`/g)].map(([, name = '']) => name)],
  ),
)
const rooms = [...documented.keys()]
const files = globSync('**/*.{ts,tsx}', {cwd: lib}).sort()
/** Matches static imports, type imports, re-exports, dynamic imports and worker threads. */
const importPattern = /(?:\bfrom|\bimport\(|^import|\bURL\()\s*['"`](\.{1,2}\/[^'"`$]+)/gm

const importsOf = (file: string) =>
  [...readFileSync(join(lib, file), 'utf8').matchAll(importPattern)]
    .map(([, target = '']) => normalize(join(dirname(file), target)))
    .map((target) => (files.includes(`${target}.ts`) ? `${target}.ts` : target)) // the worker thread has no suffix there
const graph = new Map(files.map((file) => [file, importsOf(file)]))

test('each folder of src/lib is a room in ARCHITECTURE.md, of at most 20 files', () => {
  const sizes = new Map<string, number>()
  for (const file of files) sizes.set(dirname(file), (sizes.get(dirname(file)) ?? 0) + 1)
  expect([...sizes.keys()].sort()).toEqual(rooms.toSorted())
  expect([...sizes].filter(([, size]) => size > maxFiles)).toEqual([])
})

test('a room imports only from rooms before it, and exactly those that ARCHITECTURE.md lists', () => {
  const imported = new Map(rooms.map((room) => [room, new Set<string>()]))
  for (const [file, imports] of graph)
    for (const target of imports)
      if (dirname(target) !== dirname(file)) imported.get(dirname(file))?.add(dirname(target))
  const found = rooms.map((room) => [room, rooms.filter((other) => imported.get(room)?.has(other))])
  expect(found).toEqual([...documented])
  for (const [room, imports] of documented)
    expect(
      imports.filter((other) => rooms.indexOf(other) >= rooms.indexOf(room)),
      `imports of ${room}`,
    ).toEqual([])
  const unresolved = [...graph.values()].flat().filter((target) => !graph.has(target))
  expect(unresolved, 'imports of no file of src/lib').toEqual([])
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
  const others = ['', 'commands', 'e2e', 'field', 'peers', 'security']
  expect([...folders].filter((folder) => !rooms.includes(folder) && !others.includes(folder))).toEqual([])
})

test('the library does not print and does not read the environment', () => {
  const wrong = files.filter((file) => /process\.env|console\.(log|error)/.test(readFileSync(join(lib, file), 'utf8')))
  expect(wrong).toEqual([])
})

test('the lockfile names no download address', () => {
  expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved": "https?:/)
})
