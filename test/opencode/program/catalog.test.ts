import {readFileSync, readdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {createCatalog} from '../../../src/lib/opencode/program/catalog.ts'
import {fakeClock} from '../../support/fake-clock.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {stubBinary} from '../../support/stub-executor.ts'

/** A program that counts its calls, and prints a file. */
function counting(folder: string, answer: string) {
  const binary = join(folder, 'opencode')
  writeFileSync(binary, `#!/bin/sh\necho x >> ${folder}/asked\ncat ${folder}/answer\n`, {mode: 0o755})
  const answerWith = (text: string) => writeFileSync(join(folder, 'answer'), text)
  answerWith(answer)
  return {binary, answerWith, asked: () => readFileSync(join(folder, 'asked'), 'utf8').length / 2}
}

const stubCatalog = (scratchDir: string) =>
  createCatalog({binary: stubBinary, env: () => process.env, clock: systemClock, scratchDir})

test('lists models, and agents that accept tasks', async () => {
  using scratch = scratchFolder()
  const catalog = stubCatalog(scratch.path)
  expect(await catalog.models(scratch.path)).toEqual(['fake/x', 'fake/small'])
  expect(await catalog.agents(scratch.path)).toEqual(['build', 'review'])
  expect(readdirSync(scratch.path)).toEqual([])
})

test('refuses an unknown model and a subagent, and suggests similar names', async () => {
  using scratch = scratchFolder()
  const catalog = stubCatalog(scratch.path)
  await expect(catalog.checkModel('fake/smal', scratch.path)).rejects.toMatchObject({
    code: 'UNKNOWN_MODEL',
    message: expect.stringContaining('fake/small'),
  })
  await expect(catalog.checkAgent('general', scratch.path)).rejects.toMatchObject({code: 'UNKNOWN_AGENT'})
  await expect(catalog.checkAgent('reviw', scratch.path)).rejects.toThrow('review')
})

test('knows build and plan without asking OpenCode', () => {
  const catalog = createCatalog({binary: '/nowhere', env: () => ({}), clock: systemClock, scratchDir: '/nowhere'})
  expect(catalog.checkAgent('build', '/')).toBeUndefined()
  expect(catalog.checkAgent('plan', '/')).toBeUndefined()
})

test('asks OpenCode once in ten minutes, once for concurrent queries, and answers at once after that', async () => {
  using scratch = scratchFolder()
  const clock = fakeClock()
  const {binary, asked} = counting(scratch.path, 'a/b\n')
  const catalog = createCatalog({binary, env: () => process.env, clock, scratchDir: scratch.path})
  await Promise.all([catalog.checkModel('a/b', scratch.path), catalog.checkModel('a/b', scratch.path)])
  expect(catalog.checkModel('a/b', scratch.path)).toBeUndefined()
  expect(asked()).toBe(1)
  clock.advance(10 * 60_000)
  await catalog.models(scratch.path)
  expect(asked()).toBe(2)
})

test('asks again for an unknown name, but not twice in thirty seconds', async () => {
  using scratch = scratchFolder()
  const clock = fakeClock()
  const {binary, asked, answerWith} = counting(scratch.path, 'a/b\n')
  const catalog = createCatalog({binary, env: () => process.env, clock, scratchDir: scratch.path})
  await expect(catalog.checkModel('c/d', scratch.path)).rejects.toThrow('no model')
  answerWith('a/b\nc/d\n')
  await expect(catalog.checkModel('c/d', scratch.path)).rejects.toThrow('no model')
  expect(asked()).toBe(1)
  clock.advance(30_000)
  await catalog.checkModel('c/d', scratch.path)
  expect(asked()).toBe(2)
})

test('accepts each name if OpenCode fails or does not answer', async () => {
  using scratch = scratchFolder()
  const options = {env: () => process.env, clock: systemClock, scratchDir: scratch.path, timeoutMs: 200}
  const hanging = join(scratch.path, 'hanging')
  writeFileSync(hanging, '#!/bin/sh\nexec sleep 60\n', {mode: 0o755})
  for (const binary of ['/nowhere/opencode', '/bin/false', hanging]) {
    const catalog = createCatalog({...options, binary})
    expect(await catalog.models(scratch.path)).toBeUndefined()
    await catalog.checkModel('any/model', scratch.path)
  }
})
