import {chmodSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {createModelSource, readModels} from '../../../src/lib/opencode/program/models.ts'
import {fakeClock} from '../../support/fake-clock.ts'
import {scratchFolder} from '../../support/scratch.ts'

const verbose = `opencode/free
{
  "id": "free",
  "name": "Free"
}
anthropic/claude-x
{
  "id": "claude-x",
  "name": "Claude X",
  "capabilities": {"reasoning": true, "attachment": true, "toolcall": true, "input": {"text": true}}
}
ollama/llama3:8b
openai/gpt/with-slash
{"broken`

/** A program that prints this for \`models --verbose\`, and logs each call. */
function program(folder: string, text: string): string {
  const path = join(folder, 'opencode')
  writeFileSync(join(folder, 'answer'), text)
  writeFileSync(path, `#!/bin/sh\necho "$@" >> ${folder}/calls\ncat ${folder}/answer\n`)
  chmodSync(path, 0o755)
  return path
}

function source(folder: string, auth: unknown, text = verbose) {
  const dataDir = join(folder, 'data')
  mkdirSync(dataDir)
  if (auth !== undefined) writeFileSync(join(dataDir, 'auth.json'), JSON.stringify(auth))
  const clock = fakeClock()
  const env = () => ({PATH: process.env['PATH']})
  const about = {binary: program(folder, text), env, scratchDir: folder, clock, directory: folder, dataDir}
  return {models: createModelSource(about), clock, dataDir, calls: () => readFileSync(join(folder, 'calls'), 'utf8')}
}

test('names are read with their details, also if the details are missing or broken', () => {
  expect(readModels(verbose)).toEqual([
    expect.objectContaining({id: 'opencode/free', name: 'Free'}),
    {
      id: 'anthropic/claude-x',
      name: 'Claude X',
      provider: 'anthropic',
      provider_id: 'anthropic',
      capabilities: {reasoning: true, attachment: true, tool_call: true},
    },
    expect.objectContaining({id: 'ollama/llama3:8b', name: 'llama3:8b'}),
    expect.objectContaining({id: 'openai/gpt/with-slash', name: 'gpt/with-slash'}),
  ])
})

test('only providers with a login or a key count, and nothing else of a login is passed on', async () => {
  using scratch = scratchFolder()
  const {models} = source(scratch.path, {openai: {type: 'api', key: ''}, anthropic: {type: 'api', key: 'sk-secret'}})
  const found = await models.get()
  expect(found.map(({id}) => id)).toEqual(['anthropic/claude-x', 'ollama/llama3:8b'])
  expect(JSON.stringify(found)).not.toContain('secret')
})

test('the free models of OpenCode count once somebody has logged in there', async () => {
  using scratch = scratchFolder()
  const {models} = source(scratch.path, {opencode: {type: 'oauth', refresh: 'r'}})
  expect((await models.get()).map(({id}) => id)).toContain('opencode/free')
})

test('OpenCode is asked once an hour, and when the logins have changed', async () => {
  using scratch = scratchFolder()
  const {models, clock, dataDir, calls} = source(scratch.path, undefined)
  await Promise.all([models.get(), models.get()])
  clock.advance(50 * 60_000)
  await models.get()
  expect(calls()).toBe('models --verbose\n')
  writeFileSync(join(dataDir, 'auth.json'), '{"openai":{"type":"api","key":"k"}}')
  expect((await models.get()).map(({id}) => id)).toContain('openai/gpt/with-slash')
  clock.advance(61 * 60_000)
  await models.get()
  expect(calls().match(/models --verbose/g)).toHaveLength(3)
})

test('an empty list says why: no login of a provider, or OpenCode fails', async () => {
  using scratch = scratchFolder()
  const {models} = source(scratch.path, undefined, 'opencode/free\n')
  expect(await models.get()).toEqual([])
  expect(models.problem?.()).toMatch(/no login of a provider.*opencode auth login/)
  writeFileSync(join(scratch.path, 'opencode'), '#!/bin/sh\nexit 3\n')
  writeFileSync(join(scratch.path, 'data/auth.json'), '{"openai":{"type":"api","key":"k"}}')
  expect(await models.get()).toEqual([])
  expect(models.problem?.()).toMatch(/`opencode models` fails/)
  program(scratch.path, verbose)
  expect((await models.get()).length).toBeGreaterThan(0)
  expect(models.problem?.()).toBeUndefined()
})
