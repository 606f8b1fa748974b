import {expect, test} from 'vitest'
import {agentArguments, normalizeModel} from '../../../src/lib/opencode/program/command.ts'
import {stubFlags} from '../../support/stub-executor.ts'

const task = {agent: 'build', title: 'A title'}

test('names agent, model and title', () => {
  expect(agentArguments({...task, model: 'p/m'}, stubFlags)).toEqual([
    'run',
    '--format',
    'json',
    '--agent',
    'build',
    '--model',
    'p/m',
    '--title=A title',
  ])
})

test('continues a session without a new title', () => {
  expect(agentArguments({...task, sessionId: 'ses_a-1'}, stubFlags)).toEqual([
    'run',
    '--format',
    'json',
    '--agent',
    'build',
    '--session',
    'ses_a-1',
  ])
})

test('passes only flags that the installed OpenCode knows', () => {
  expect(agentArguments({...task, model: 'p/m'}, new Set(['--format', '--agent']))).toEqual([
    'run',
    '--format',
    'json',
    '--agent',
    'build',
  ])
  expect(() => agentArguments({...task, sessionId: 'ses_1'}, new Set(['--format']))).toThrow('cannot continue')
})

test('makes any title safe as an argument', () => {
  const title = (text: string) => agentArguments({...task, title: text}, stubFlags).at(-1)
  expect(title('-x\u0000\n"y"')).toBe('--title=-x "y"')
  expect(title('')).toBe('--title=task')
  expect(title('😀'.repeat(300))).toBe(`--title=${'😀'.repeat(200)}`)
})

test('refuses names that look like flags', () => {
  for (const agent of ['--auto', '', 'a\nb'])
    expect(() => agentArguments({...task, agent}, stubFlags)).toThrow("an agent's name")
  for (const sessionId of ['../x', '--auto', '', 'a b'])
    expect(() => agentArguments({...task, sessionId}, stubFlags)).toThrow("a session's id")
})

test("reads each spelling of a model's name", () => {
  const names = ['', 'default', null, undefined, 'anthropic/claude', 'ollama/llama3:8b', 'openai:gpt-4o', ' word ']
  expect(names.map((name) => normalizeModel(name))).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
    'anthropic/claude',
    'ollama/llama3:8b',
    'openai/gpt-4o',
    'word',
  ])
  for (const name of ['--auto', 'a\u0007/b']) expect(() => normalizeModel(name)).toThrow("a model's name")
})
