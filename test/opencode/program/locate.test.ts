import {mkdirSync, symlinkSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {type LocateOptions, locateOpenCode} from '../../../src/lib/opencode/program/locate.ts'
import {scratchFolder} from '../../support/scratch.ts'

const program = (path: string, content = 'ELF') => {
  mkdirSync(dirname(path), {recursive: true})
  writeFileSync(path, content, {mode: 0o755})
  return path
}

/** A file system in which only the given paths are executable. */
const only = (...paths: string[]): LocateOptions => ({
  env: {PATH: '/some/bin:relative/bin'},
  home: '/home/u',
  projectRoot: '/opt/app/dist',
  isExecutable: (path) => paths.includes(path),
})

test('prefers a configured path', () => {
  const explicit = {path: '/x/opencode', source: '--opencode'}
  expect(locateOpenCode({...only('/x/opencode', '/usr/bin/opencode'), explicit})).toEqual(explicit)
})

test('refuses a configured path that is not executable, and names its source', () => {
  const explicit = {path: '/x/opencode', source: 'A2A_OPENCODE_BIN'}
  expect(() => locateOpenCode({...only('/usr/bin/opencode'), explicit})).toThrow(
    expect.objectContaining({
      code: 'OPENCODE_NOT_FOUND',
      exitCode: 78,
      message: expect.stringContaining(explicit.source),
    }),
  )
})

test("searches PATH before the user's folders, those before the system's, and those before its own", () => {
  const own = `/opt/app/node_modules/opencode-${process.platform}-${process.arch}/bin/opencode`
  const order = [
    '/some/bin/opencode',
    '/home/u/.local/bin/opencode',
    '/home/u/.bun/bin/opencode',
    '/usr/bin/opencode',
    own,
  ]
  for (let i = 0; i < order.length; i++) expect(locateOpenCode(only(...order.slice(i))).path).toBe(order[i])
})

test('ignores relative folders of PATH', () => {
  expect(() => locateOpenCode(only('relative/bin/opencode'))).toThrow('was not found')
})

test('if OpenCode is not found, says how to install it and where it searched', () => {
  expect(() => locateOpenCode(only())).toThrow(
    expect.objectContaining({
      exitCode: 78,
      message: expect.stringContaining('/home/u/.opencode/bin'),
      suggestions: expect.arrayContaining([expect.stringMatching(/npm i -g .*opencode-ai/)]),
    }),
  )
})

test('finds the program behind a Node wrapper, also through a link', () => {
  using scratch = scratchFolder()
  const modules = join(scratch.path, 'lib/node_modules')
  const wrapper = program(join(modules, 'opencode-ai/bin/opencode'), '#!/usr/bin/env node\n')
  writeFileSync(join(modules, 'opencode-ai/package.json'), '{"name": "opencode-ai"}')
  const real = program(join(modules, `opencode-${process.platform}-${process.arch}/bin/opencode`))
  mkdirSync(join(scratch.path, 'bin'))
  symlinkSync(wrapper, join(scratch.path, 'bin/opencode'))
  const explicit = {path: join(scratch.path, 'bin/opencode'), source: 'setting'}
  expect(locateOpenCode({explicit, env: {}, home: scratch.path})).toEqual({path: real, source: 'setting'})
})

test('finds the program where npm 12 has not run the install script, which would have put it in its place', () => {
  using scratch = scratchFolder()
  const modules = join(scratch.path, 'lib/node_modules')
  const stub = `echo "Error: opencode-ai's postinstall script was not run." >&2\nexit 1\n`
  const path = program(join(modules, 'opencode-ai/bin/opencode.exe'), stub)
  writeFileSync(join(modules, 'opencode-ai/package.json'), '{"name": "opencode-ai"}')
  const name = `opencode-${process.platform}-${process.arch}`
  const real = program(join(modules, `opencode-ai/node_modules/${name}/bin/opencode`))
  expect(locateOpenCode({explicit: {path, source: 's'}, env: {}, home: scratch.path}).path).toBe(real)
})

test('uses a wrapper whose program is not found', () => {
  using scratch = scratchFolder()
  const path = program(join(scratch.path, 'opencode'), '#!/usr/bin/env node\n')
  expect(locateOpenCode({explicit: {path, source: 's'}, env: {}, home: scratch.path}).path).toBe(path)
})
