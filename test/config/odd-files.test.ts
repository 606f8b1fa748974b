import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {readConfigFiles} from '../../src/lib/config/file.ts'
import {resolveConfig} from '../../src/lib/config/resolve.ts'
import {scratchFolder} from '../support/scratch.ts'

const resolved = (text: string, env: Record<string, string> = {}) => {
  using scratch = scratchFolder()
  const path = join(scratch.path, 'config.json')
  writeFileSync(path, text, {mode: 0o600})
  return resolveConfig({flags: {}, env, files: readConfigFiles({}, path).files, cwd: scratch.path})
}

test('a value that is nested too deep is refused before it is traversed', () => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  expect(() => resolved(`{"worker_name": ${deep}}`)).toThrow(/nested deeper than 100 levels/)
  expect(() => resolved('{}', {A2A_PERMISSIONS: `{"a":${deep}}`})).toThrow(/permissions .*nested deeper/)
})

test('a list that reads like the keyword of a path setting is not a path', () => {
  expect(() => resolved('{"global_codebase": ["none"]}')).toThrow(/global_codebase .*must be a path/)
  expect(() => resolved('{"global_codebase": {"toString": 1}}')).toThrow(/global_codebase .*must be a path/)
})

test('a message shows only the beginning of a long value', () => {
  expect(() => resolved(JSON.stringify({poll_interval: 'x'.repeat(100_000)}))).toThrow(/^.{100,500}$/s)
})

test('a property that every object inherits is not a setting', () => {
  expect(resolved('{"toString": 1}').warnings).toEqual([expect.stringMatching(/unknown setting "toString"/)])
})

test('a message shows only the beginning of a long unknown name', () => {
  const [warning] = resolved(JSON.stringify({['x'.repeat(1_000_000)]: 1})).warnings
  expect(warning).toMatch(/unknown setting "x{60}"$/)
})
