import {describe, expect, test} from 'vitest'
import {agentState, type StateSigns} from '../../src/lib/executor/agent-state.ts'
import {AgentReport} from '../../src/lib/opencode/output/agent-report.ts'
import {finish, printing, stepStart, text} from '../support/agent-lines.ts'
import {requestFor, runToEnd} from '../support/agent-run.ts'
import {scratchFolder} from '../support/scratch.ts'
import {stubExecutor} from '../support/stub-executor.ts'

const stateOf = (lines: object[], more: Partial<StateSigns> = {}) => {
  const report = new AgentReport()
  for (const line of lines) report.add(JSON.stringify(line))
  const unknown = {stepStartedAt: undefined, stepEndedAt: undefined, processes: []}
  const {state, what, since} = agentState({report, startedAt: 1, hasPrinted: false, ...unknown, ...more})
  return `${state} ${what}`.trim() + ` since ${since}`
}

const started = {type: 'started', at: 2}
const busy = {type: 'busy', at: 3, session: 's'}
const call = (at: number, callId: string, more: object = {}) => ({
  ...{type: 'tool', at, session: 's', call: callId, tool: 'bash', isOpen: true},
  ...more,
})

test('with the report of our plugin: starting, waiting for the model, answering, and the newest open tool', () => {
  expect(stateOf([])).toBe('starting since 1')
  expect(stateOf([started])).toBe('starting since 1')
  expect(stateOf([started, busy])).toBe('waiting since 3')
  expect(stateOf([started, busy], {hasPrinted: true, stepStartedAt: 4})).toBe('answering since 4')
  const open = [started, busy, call(5, 'c1'), call(6, 'c1', {title: 'npm test'})]
  expect(stateOf(open, {hasPrinted: true, stepStartedAt: 4})).toBe('tool bash npm test since 5')
  const both = [...open, call(7, 'c2', {tool: 'read', title: '/a'})]
  expect(stateOf(both)).toBe('tool read /a since 7')
  const closed = [...both, call(8, 'c2', {isOpen: false}), call(9, 'c1', {isOpen: false})]
  expect(stateOf(closed, {hasPrinted: true, stepStartedAt: 4, stepEndedAt: 10})).toBe('waiting since 10')
})

test('without the plugin a tool is seen by its process', () => {
  const processes = [{command: 'npm test', since: 5}]
  expect(stateOf([], {processes})).toBe('starting since 1')
  expect(stateOf([], {hasPrinted: true, stepStartedAt: 4, processes})).toBe('tool npm test since 5')
  expect(stateOf([], {hasPrinted: true, stepStartedAt: 4})).toBe('answering since 4')
})

describe('a real process', () => {
  test('reports what it does while it does it', async () => {
    using scratch = scratchFolder()
    const made = requestFor(scratch.path, '')
    const report = `${made.runDir}/report.ndjson`
    const say = (line: object) => `echo '${JSON.stringify(line)}' >> '${report}'; sleep 1.3; `
    const prompt = [
      say(started),
      say({...busy, at: Date.now()}),
      printing(stepStart()),
      say(call(Date.now(), 'c1', {title: 'npm test'})),
      say(call(Date.now(), 'c1', {isOpen: false})),
      printing(text('ok'), finish()),
    ].join('')
    const {observed, outcome} = await runToEnd(stubExecutor(scratch.path), {...made, prompt})
    expect(outcome.status).toBe('completed')
    const states = observed.states.filter((state, i, all) => state !== all[i - 1])
    expect(states).toEqual(expect.arrayContaining(['starting', 'waiting', 'tool bash npm test']))
    expect(states.indexOf('waiting')).toBeLessThan(states.indexOf('tool bash npm test'))
  })
})
