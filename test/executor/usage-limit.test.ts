import {afterAll, expect, test} from 'vitest'
import {finish, printing, stepStart, text} from '../support/agent-lines.ts'
import {acpExecutor} from '../support/acp-agent.ts'
import {processesOf, requestFor, runToEnd} from '../support/agent-run.ts'
import {scratchFolder} from '../support/scratch.ts'
import {stubExecutor} from '../support/stub-executor.ts'

const scratch = scratchFolder()
afterAll(() => scratch[Symbol.dispose]())

const twoTurns = printing(stepStart(), text('half done'), finish('tool-calls'), stepStart(), finish('tool-calls'))

test.each([
  [{cost: 0.6}, /has cost \$1\.0000, which is more than max_cost \(\$0\.6\)/],
  [{tokens: 23}, /has used 24 tokens, which is more than max_tokens \(23\)/],
  [{turns: 1}, /has had 2 turns, which is more than max_turns \(1\)/],
])('a run that uses more than %j is ended, and its work is kept', async (limits, error) => {
  const made = requestFor(scratch.path, `${twoTurns}exec sleep 300`, {limits})
  const {outcome} = await runToEnd(stubExecutor(scratch.path), made)
  expect(outcome).toMatchObject({status: 'failed', error: expect.stringMatching(error), result: 'half done'})
  expect(outcome.usage).toMatchObject({cost: 1, input: 20, output: 4})
  expect(processesOf(made.marker)).toEqual([])
})

test('a run within its limits is not', async () => {
  const made = requestFor(scratch.path, `${twoTurns}${printing(text('done'), finish())}`, {
    limits: {cost: 9, tokens: 99, turns: 3},
  })
  expect((await runToEnd(stubExecutor(scratch.path), made)).outcome.status).toBe('completed')
})

test('the same for an agent of the protocol, in the middle of its turn', async () => {
  const made = requestFor(scratch.path, 'cost 0.3\ntool read a\ncost 0.7\ntool read b\nforever', {limits: {cost: 0.5}})
  const {outcome} = await runToEnd(acpExecutor(scratch.path), made)
  expect(outcome).toMatchObject({status: 'failed', error: expect.stringMatching(/has cost \$0\.7000/)})
})
