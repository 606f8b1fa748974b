import {afterAll, describe, expect, test} from 'vitest'
import type {ConversationPolicy} from '../../../src/lib/executor/ways/acp-way.ts'
import type {TaskInput} from '../../../src/lib/protocol/task-input.ts'
import {acpExecutor} from '../../support/acp-agent.ts'
import {recordingObserver, requestFor, startRun} from '../../support/agent-run.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {waitFor} from '../../support/wait-for.ts'

const scratch = scratchFolder()
afterAll(() => scratch[Symbol.dispose]())

const asking = {permissions: 'ask', askMs: 600_000} as const

/** Starts a run whose agent asks. */
async function started(prompt: string, policy: ConversationPolicy = asking) {
  const {observed, observer} = recordingObserver()
  const executor = acpExecutor(scratch.path, {policy})
  const agent = await startRun(executor, requestFor(scratch.path, prompt), observer)
  const question = async () => {
    await waitFor(() => (observed.questions.at(-1)?.length ?? 0) > 0, 'a question')
    return observed.questions.at(-1)![0]!
  }
  return {observed, agent, question, give: (input: Partial<TaskInput>) => agent.give?.(inputOf(input))}
}

let inputs = 0
const inputOf = (input: Partial<TaskInput>): TaskInput => ({
  ...{id: `input-${(inputs += 1)}`, question: null, option: null, text: null, mode: 'queue'},
  ...input,
})

describe('a permission waits for a person', () => {
  test.each([
    ['allow', 'p: once'],
    ['always', 'p: always'],
    ['deny', 'p: reject'],
    ['reject', 'p: reject'],
  ])('%s chooses an option', async (option, result) => {
    const {agent, question, give, observed} = await started('permission p edit a file')
    const {id, since, until} = await question()
    expect((until ?? 0) - since).toBe(600_000)
    give({id: 'the answer', question: id, option})
    expect(await agent.outcome).toMatchObject({status: 'completed', result})
    expect(observed.inputs).toEqual([{id: 'the answer', outcome: 'delivered', reason: null}])
  })

  test('an unknown option is refused with the list, and the question stays open', async () => {
    const {agent, question, give, observed} = await started('permission p edit a file')
    const {id} = await question()
    give({question: id, option: 'perhaps'})
    expect(observed.inputs[0]).toMatchObject({
      outcome: 'refused',
      reason: 'the question has no option perhaps; it has once, always, reject',
    })
    give({question: id, option: 'constructor'}) // a name that every object has
    expect(observed.inputs[1]).toMatchObject({outcome: 'refused'})
    give({question: id, option: 'allow'})
    expect(await agent.outcome).toMatchObject({status: 'completed', result: 'p: once'})
  })

  test('a text says no, and is the next message', async () => {
    const {agent, question, give} = await started('permission p edit a file')
    give({question: (await question()).id, text: 'text use another file'})
    expect(await agent.outcome).toMatchObject({status: 'completed', result: 'use another file'})
  })

  test('after ask_timeout the answer is no', async () => {
    const {agent, observed} = await started('permission p edit a file', {permissions: 'ask', askMs: 50})
    expect(await agent.outcome).toMatchObject({status: 'completed', result: 'p: reject'})
    expect(observed.warnings).toEqual(['nobody answered within ask_timeout, so the answer is no: edit a file'])
  })

  test('a cancellation answers it as cancelled', async () => {
    const {agent, question} = await started('permission p edit a file')
    await question()
    agent.stop({status: 'cancelled', error: 'by a person'})
    expect(await agent.outcome).toMatchObject({status: 'cancelled', result: 'p: cancelled'})
  })

  test('two questions are two questions, also if the agent uses an id again', async () => {
    const {agent, question, give, observed} = await started('permission p one\npermission q two')
    const first = await question()
    give({question: first.id, option: 'allow'})
    await waitFor(() => observed.questions.at(-1)?.[0]?.title === 'edit two', 'the second question')
    const second = await question()
    expect(second.id).not.toBe(first.id)
    give({question: second.id, option: 'deny'})
    expect(await agent.outcome).toMatchObject({result: 'p: once\nq: reject'})
  })

  test('without a person it is allowed or denied at once', async () => {
    const allowed = await started('permission p edit', {permissions: 'allow', askMs: 0})
    expect(await allowed.agent.outcome).toMatchObject({result: 'p: once'})
    const denied = await started('permission p edit', {permissions: 'deny', askMs: 0})
    expect(await denied.agent.outcome).toMatchObject({result: 'p: reject'})
  })
})

describe('a word to a running task', () => {
  test('waits for the end of the turn', async () => {
    const {agent, observed, give} = await started('tool read it\nsleep 200\ntext first')
    await waitFor(() => observed.activities.length > 0, 'the first tool call')
    give({id: 'word', text: 'text second'})
    expect(await agent.outcome).toMatchObject({status: 'completed', result: 'second'})
    expect(observed.activities).toEqual(['read it', 'first', 'second'])
    expect(observed.inputs).toEqual([{id: 'word', outcome: 'delivered', reason: null}])
  })

  test('or ends the turn, if it steers', async () => {
    const {agent, observed, give} = await started('tool read it\nforever\ntext never')
    await waitFor(() => observed.activities.length > 0, 'the first tool call')
    give({text: 'text another way', mode: 'steer'})
    expect(await agent.outcome).toMatchObject({status: 'completed', result: 'another way', error: null})
  })

  test('is refused when it comes too late, or is empty', async () => {
    const {agent, observed, give} = await started('tool read it\nforever')
    await waitFor(() => observed.activities.length > 0, 'the first tool call')
    give({id: 'empty', text: ' '})
    give({id: 'too late', text: 'text more'})
    agent.stop({status: 'cancelled', error: 'by a person'})
    await agent.outcome
    give({id: 'much too late', text: 'text more'})
    expect(observed.inputs).toEqual([
      {id: 'empty', outcome: 'refused', reason: 'the message is empty'},
      {id: 'too late', outcome: 'refused', reason: 'the run ended before the agent got it'},
      {id: 'much too late', outcome: 'refused', reason: 'the run has ended'},
    ])
  })
})
