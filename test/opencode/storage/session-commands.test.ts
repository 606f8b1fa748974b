import {chmodSync, mkdirSync, readdirSync, realpathSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {sessionCommands} from '../../../src/lib/opencode/storage/session-commands.ts'
import {scratchFolder} from '../../support/scratch.ts'

/** A program that answers like OpenCode. Its output is a script. */
function program(script: string) {
  const scratch = scratchFolder()
  const binary = join(scratch.path, 'opencode')
  writeFileSync(binary, `#!${process.execPath}\nconst [command] = process.argv.slice(2);${script}`)
  chmodSync(binary, 0o755)
  const scratchDir = join(scratch.path, 'scratch')
  mkdirSync(scratchDir)
  const directory = realpathSync(scratch.path)
  return {
    directory,
    source: sessionCommands({binary, env: {PATH: '/usr/bin:/bin'}, scratchDir}),
    isClean: () => readdirSync(scratchDir).length === 0,
    [Symbol.dispose]: scratch[Symbol.dispose],
  }
}

test('OpenCode is asked in the directory, and its answer is read completely at any length', () => {
  using one = program(`
    const text = 'x'.repeat(3_000_000)
    const session = (id, directory) => ({id, title: 't', directory, projectId: 'p', created: 1, updated: 2})
    const list = [session('ses_a', process.env.PWD), session('ses_clone', '/clone'), session('../hostile', process.cwd())]
    const info = (id) => ({id, sessionID: process.argv[3], role: 'user', time: {created: 1}})
    const messages = [{info: info('msg_1'), parts: [{id: 'prt_1', type: 'text', text}]}, {info: info('a/b'), parts: []}]
    console.error('Exporting session')
    process.stdout.write(JSON.stringify(command === 'session' ? list : {info: {}, messages}))`)
  expect(one.source.sessions({inside: [one.directory]})).toEqual([
    {
      id: 'ses_a',
      title: 't',
      directory: one.directory,
      projectId: 'p',
      version: null,
      created: 1,
      updated: 2,
      messages: null,
      summary: null,
    },
  ])
  expect(one.source.sessions({outside: []})).toEqual([])
  expect(one.source.messageIds('ses_a')).toEqual(['msg_1'])
  expect(one.source.message('ses_a', 'msg_1')?.parts[0]?.data.length).toBeGreaterThan(3_000_000)
  expect(one.isClean()).toBe(true)
})

test('no session is an empty list; prose and a failure are problems', () => {
  using silent = program('')
  expect(silent.source.sessions({inside: [silent.directory]})).toEqual([])
  using chatty = program('console.log("Welcome!")')
  expect(() => chatty.source.sessions({inside: [chatty.directory]})).toThrow(/printed an unknown format/)
  using broken = program('console.error("no such session"); process.exit(1)')
  expect(() => broken.source.messageIds('ses_a')).toThrow(/`opencode export ses_a` failed: no such session/)
  expect(broken.isClean()).toBe(true)
})
