import {chmodSync, mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, describe, expect, test} from 'vitest'
import {agentDefinitions} from '../../src/lib/agents/definitions.ts'
import {allowedVariables, installedAgents} from '../../src/lib/agents/installed-agents.ts'
import {scratchFolder} from '../support/scratch.ts'

const scratch = scratchFolder()
afterAll(() => scratch[Symbol.dispose]())

const named = (setting: unknown, name: string) => agentDefinitions(setting).find((agent) => agent.name === name)

test('claude, codex and gemini are built in', () => {
  expect(agentDefinitions(undefined).map(({name}) => name)).toEqual(['claude', 'codex', 'gemini'])
  expect(named(undefined, 'gemini')).toMatchObject({kind: 'acp', command: ['gemini', '--acp'], permissions: 'allow'})
})

test('the setting changes, adds and removes agents', () => {
  const setting = {claude: {permissions: 'ask'}, codex: false, tests: {type: 'command', command: 'make test'}}
  expect(agentDefinitions(setting).map(({name}) => name)).toEqual(['claude', 'gemini', 'tests'])
  expect(named(setting, 'claude')).toMatchObject({permissions: 'ask', command: ['claude-agent-acp']})
  expect(named(setting, 'tests')).toMatchObject({kind: 'command', command: ['/bin/sh', '-c', 'make test']})
})

test('an agent that is to ask gets a mode in which it asks, unless the setting names another', () => {
  expect(named(undefined, 'claude')).toMatchObject({permissions: 'allow', mode: undefined})
  expect(named({claude: {permissions: 'ask'}}, 'claude')).toMatchObject({mode: 'default'})
  expect(named({codex: {permissions: 'deny'}}, 'codex')).toMatchObject({mode: 'read-only'})
  expect(named({claude: {permissions: 'ask', mode: 'plan'}}, 'claude')).toMatchObject({mode: 'plan'})
})

describe('a malformed setting is refused with an example', () => {
  test.each([
    [{Claude: {command: 'x'}}, /small letters/],
    [{mine: {}}, /mine in the setting `agents` has no command/],
    [{mine: {command: []}}, /name a program/],
    [{mine: {command: 'x', permissions: 'maybe'}}, /mine.permissions|malformed/],
    [{mine: {comand: 'x'}}, /malformed/],
    [{opencode: {command: 'x'}}, /must not define opencode/],
    [{mine: {command: 'echo {{prompt}}'}}, /would be run as a part of it/],
  ])('%j', (setting, message) => {
    expect(() => agentDefinitions(setting)).toThrow(message)
  })
})

test('only agents are used whose program is on PATH, and of missing ones those are told that are named', () => {
  const bin = join(scratch.path, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'gemini'), '#!/bin/sh\n')
  chmodSync(join(bin, 'gemini'), 0o755)
  const {installed, missing} = installedAgents(
    {codex: {}, tests: {type: 'command', command: 'true'}},
    {PATH: `relative:${bin}`},
  )
  expect(installed.map(({name, binary}) => [name, binary])).toEqual([
    ['gemini', join(bin, 'gemini')],
    ['tests', '/bin/sh'],
  ])
  expect(missing.map(({name}) => name)).toEqual(['codex'])
})

test('a key that an installed agent gets is not missing', () => {
  const setting = {claude: {command: '/bin/true'}}
  expect(allowedVariables(setting, {PATH: '/nowhere'}, ['MINE'])).toEqual(['MINE', 'ANTHROPIC_*', 'CLAUDE_*'])
  expect(allowedVariables({}, {PATH: '/nowhere'}, ['MINE'])).toEqual(['MINE'])
})
