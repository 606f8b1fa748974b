import {chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {programFiles} from '../../../src/lib/service/machine/program-files.ts'
import {installProgram, isInstalled} from '../../../src/lib/service/machine/program.ts'
import {scratchFolder} from '../../support/scratch.ts'

/** Writes packages to a folder: dependencies by path. */
function packages(tree: Record<string, Record<string, unknown>>) {
  const scratch = scratchFolder()
  for (const [path, content] of Object.entries(tree)) {
    const file = join(scratch.path, path, 'package.json')
    mkdirSync(dirname(file), {recursive: true})
    writeFileSync(file, JSON.stringify({name: path, ...content}))
  }

  return {path: scratch.path, [Symbol.dispose]: () => scratch[Symbol.dispose]()}
}

/** The source of each package by its place in the copy. */
const placed = (folder: string, root: string) =>
  Object.fromEntries(
    [...programFiles(join(folder, root))].map(([to, from]) => [dirname(to), dirname(from).slice(folder.length + 1)]),
  )

const needs = (...names: string[]) => ({dependencies: Object.fromEntries(names.map((name) => [name, '*']))})

test('packages beside the program (npx, npm i) are copied, development dependencies are not', () => {
  using work = packages({
    'node_modules/a2a-worker': {...needs('one'), devDependencies: {dev: '*'}},
    'node_modules/one': needs('@scope/two'),
    'node_modules/@scope/two': {},
    'node_modules/dev': {},
    'node_modules/other': {},
  })
  expect(placed(work.path, 'node_modules/a2a-worker')).toEqual({
    '.': 'node_modules/a2a-worker',
    'node_modules/one': 'node_modules/one',
    'node_modules/@scope/two': 'node_modules/@scope/two',
  })
})

test('two versions of a package are both copied, each where its dependents find it', () => {
  using work = packages({
    app: needs('one', 'two'),
    'app/node_modules/one': needs('shared'),
    'app/node_modules/two': needs('shared'),
    'app/node_modules/shared': {version: '1'},
    'app/node_modules/two/node_modules/shared': {version: '2'},
  })
  const found = placed(work.path, 'app')
  const versions = ['one', 'two'].map((name) => {
    const own = found[`node_modules/${name}/node_modules/shared`]
    return own ?? found['node_modules/shared']
  })
  expect(versions).toEqual(['app/node_modules/shared', 'app/node_modules/two/node_modules/shared'])
})

test('linked packages (pnpm) are copied from behind their links, and cycles end', () => {
  using work = packages({
    'store/a2a-worker/node_modules/a2a-worker': needs('one'),
    'store/one/node_modules/one': {...needs('two'), peerDependencies: {absent: '*'}},
    'store/two/node_modules/two': {...needs('one'), optionalDependencies: {missing: '*'}},
  })
  const link = (in_: string, name: string) =>
    symlinkSync(
      join(work.path, `store/${name}/node_modules/${name}`),
      join(work.path, `store/${in_}/node_modules/${name}`),
    )
  link('a2a-worker', 'one')
  link('one', 'two')
  link('two', 'one')
  expect(placed(work.path, 'store/a2a-worker/node_modules/a2a-worker')).toEqual({
    '.': 'store/a2a-worker/node_modules/a2a-worker',
    'node_modules/one': 'store/one/node_modules/one',
    'node_modules/two': 'store/two/node_modules/two',
  })
})

test('a missing package is named', () => {
  using work = packages({app: needs('gone')})
  expect(() => programFiles(join(work.path, 'app'))).toThrow(/The package gone, which .*app needs, is not installed/)
})

test('a copy is readable by everybody, is compared byte for byte, and is replaced as a whole', () => {
  using work = packages({app: {files: ['bin', 'absent']}})
  mkdirSync(join(work.path, 'app/bin'))
  writeFileSync(join(work.path, 'app/bin/run.js'), 'one', {mode: 0o700})
  writeFileSync(join(work.path, 'app/secret'), 'not shipped')
  writeFileSync(join(work.path, 'node'), 'node', {mode: 0o700})
  chmodSync(join(work.path, 'app/package.json'), 0o600)
  mkdirSync(join(work.path, 'to'))
  const program = {root: join(work.path, 'app'), node: join(work.path, 'node')}
  const place = {app: join(work.path, 'to/app'), node: join(work.path, 'to/bin/node')}
  expect(isInstalled(program, place)).toBe(false)
  installProgram(program, place)
  expect(isInstalled(program, place)).toBe(true)
  const mode = (path: string) => statSync(join(place.app, path)).mode & 0o777
  expect(['package.json', 'bin/run.js', 'bin'].map(mode)).toEqual([0o644, 0o755, 0o755])
  expect(existsSync(join(place.app, 'secret'))).toBe(false)
  writeFileSync(join(program.root, 'bin/run.js'), 'two')
  expect(isInstalled(program, place)).toBe(false)
  installProgram(program, place)
  expect(readFileSync(join(place.app, 'bin/run.js'), 'utf8')).toBe('two')
  writeFileSync(join(place.app, 'more'), '')
  expect(isInstalled(program, place)).toBe(false)
})
