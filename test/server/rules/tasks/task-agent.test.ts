import {expect, test} from 'vitest'
import {globalCodebase} from '../../../../src/lib/protocol/routes.ts'
import {addTask, addWorker} from '../../support/engine-world.ts'
import {MemoryEngine} from '../../support/memory-engine.ts'

const forAgent = (name: string) => ({metadata: {agent_program: name}})

test('a task for an agent goes to a worker that has it', () => {
  const engine = new MemoryEngine()
  addWorker(engine, 'plain')
  addWorker(engine, 'able', {capabilities: ['opencode', 'agent:claude']})
  expect(addTask(engine, 't', globalCodebase, forAgent('claude'))).toMatchObject({
    ...{status: 'assigned', worker_id: 'able', required: ['agent:claude']},
  })
})

test('a task for an agent that nobody has is refused with those that there are', () => {
  const engine = new MemoryEngine()
  addWorker(engine, 'able', {codebases: ['c'], capabilities: ['agent:claude', 'agent:codex']})
  addWorker(engine, 'plain', {codebases: ['d']})
  expect(() => addTask(engine, 't', globalCodebase, forAgent('gemini'))).toThrow(
    'No worker has the agent gemini; there are opencode, claude, codex',
  )
  expect(() => addTask(engine, 't', 'd', forAgent('claude'))).toThrow(
    'The worker of this codebase does not have the agent claude; there are opencode',
  )
})

test('every worker has opencode, and a task with other metadata needs no agent', () => {
  const engine = new MemoryEngine()
  addWorker(engine, 'plain', {codebases: ['c']})
  expect(addTask(engine, 't', 'c', forAgent('opencode'))).toMatchObject({required: null})
  expect(addTask(engine, 'u', 'c', {metadata: {agent_program: 7}})).toMatchObject({required: null})
})
