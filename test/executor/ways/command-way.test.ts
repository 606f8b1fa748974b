import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, describe, expect, test} from 'vitest'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {adoptRun} from '../../../src/lib/executor/adopt.ts'
import {commandExecutor} from '../../support/acp-agent.ts'
import {killedWorker} from '../../support/killed-worker.ts'
import {processesOf, recordingObserver, requestFor, runToEnd, startRun} from '../../support/agent-run.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {waitFor} from '../../support/wait-for.ts'

const scratch = scratchFolder()
afterAll(() => scratch[Symbol.dispose]())

const executorOf = (command: string | string[], env_allow: string[] = []) =>
  commandExecutor(scratch.path, command, env_allow)

const request = (prompt: string, rest = {}) => requestFor(scratch.path, prompt, rest)

describe('a command is judged by its exit code', () => {
  test('0: its output is the result, line by line', async () => {
    const made = request('the prompt\n')
    const {observed, outcome} = await runToEnd(executorOf('echo one; cat; echo three; echo bad >&2'), made)
    expect(outcome).toMatchObject({status: 'completed', result: 'one\nthe prompt\nthree', error: null, sessionId: null})
    expect(observed.activities).toEqual(['one', 'the prompt', 'three'])
    const types = readFileSync(join(made.runDir, 'stdout.ndjson'), 'utf8').match(/^\{"type":"\w+"/gm)
    expect(types?.map((text) => text.slice(9, -1))).toEqual(['step_start', 'text', 'text', 'text', 'step_finish'])
  })

  test('anything else fails, with what it said', async () => {
    const {outcome} = await runToEnd(executorOf('echo half; echo "no rule to make target" >&2; exit 2'), request('x'))
    expect(outcome).toMatchObject({
      ...{status: 'failed', result: 'half'},
      error: 'job exited with code 2: no rule to make target',
    })
  })

  test('also without any output', async () => {
    expect((await runToEnd(executorOf('true'), request('x'))).outcome).toMatchObject({
      status: 'completed',
      result: null,
    })
    expect((await runToEnd(executorOf('false'), request('x'))).outcome.error).toBe('job exited with code 1')
  })
})

test('the prompt is an argument where the command says so, and nothing of it is run', async () => {
  const {outcome} = await runToEnd(executorOf(['/bin/echo', 'it is', '{{prompt}}']), request('$(id) `id` "; $&'))
  expect(outcome.result).toBe('it is $(id) `id` "; $&')
})

test('it sees the variables that it may see', async () => {
  const {outcome} = await runToEnd(executorOf('echo "$JOB_KEY,$OTHER"', ['JOB_*']), request('x'))
  expect(outcome.result).toBe('k,')
})

test('a program that is not there is a named failure', async () => {
  const {outcome} = await runToEnd(executorOf(['/nowhere/job']), request('x'))
  expect(outcome.error).toMatch(/job exited with code 127: .*\/nowhere\/job/)
})

test('it is ended with all its processes', async () => {
  const made = request('x')
  const {observed, observer} = recordingObserver()
  const agent = await startRun(executorOf('echo here; sleep 300 & sleep 300'), made, observer)
  await waitFor(() => observed.activities.length > 0, 'its first line')
  expect(agent.give).toBeUndefined()
  agent.stop({status: 'cancelled', error: 'by a person', graceMs: 100})
  expect(await agent.outcome).toMatchObject({status: 'cancelled', result: 'here'})
  expect(processesOf(made.marker)).toEqual([])
})

test('a worker process that takes over judges it by its exit code too', async () => {
  const made = request('x')
  const worker = await killedWorker(made, {
    ...{home: scratch.path, command: 'echo one; sleep 1; echo two; exit 3'},
    when: (events) => events.includes('one'),
  })
  const {observer} = recordingObserver()
  const adopted = adoptRun({request: made, observer, clock: systemClock, root: worker.agent})
  expect(await adopted.outcome).toMatchObject({status: 'failed', error: 'job exited with code 3', result: 'one\ntwo'})
})
