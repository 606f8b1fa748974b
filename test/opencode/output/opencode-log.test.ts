import {expect, test} from 'vitest'
import {AgentReport} from '../../../src/lib/opencode/output/agent-report.ts'
import {OpenCodeLog} from '../../../src/lib/opencode/output/opencode-log.ts'

const owner = {directory: '/a b', title: 'Fix "it"', startedAt: Date.parse('2026-11-28T14:00:00Z')}
const line = (second: number, run: string, rest: string) =>
  `timestamp=2026-11-28T14:00:${String(second).padStart(2, '0')}.000Z level=INFO run=${run} ${rest}`
const refusal = (second: number, run: string, words: string) =>
  line(
    second,
    run,
    `message="stream error" providerID=fake modelID=x session.id=ses_1 error.error="AI_APICallError: ${words}"`,
  ).replace('INFO', 'ERROR')

const read = (lines: string[], sessionId?: string) => {
  const log = new OpenCodeLog(owner, {isShared: true})
  log.sessionId = sessionId
  for (const text of lines) log.add(text)
  return log
}

test('of a log that several processes write, only the lines of the own process count', () => {
  const log = read([
    line(1, 'aaa', 'message="creating instance" directory=/other'),
    line(1, 'bbb', 'message="creating instance" directory="/a b"'),
    line(2, 'aaa', 'message=loop session.id=ses_9'),
    line(2, 'bbb', 'message=init'),
    refusal(3, 'aaa', 'not ours'),
  ])
  expect(log.wait).toBeUndefined()
  expect(log.tail).toBe(
    [line(1, 'bbb', 'message="creating instance" directory="/a b"'), line(2, 'bbb', 'message=init')].join('\n'),
  )
})

test('title and session identify the process better than its directory', () => {
  const lines = [
    line(1, 'bbb', 'message="creating instance" directory="/a b"'),
    line(2, 'ccc', String.raw`message=created id=ses_1 directory="/a b" path="" title="Fix \"it\"" agent=undefined`),
    line(3, 'ccc', 'message=loop session.id=ses_1'),
    line(4, 'bbb', 'message=loop session.id=ses_2'),
  ]
  expect(read(lines).tail).toContain('session.id=ses_1')
  expect(read(lines, 'ses_2').tail).toBe(lines[3])
})

test('a refusal is a wait until the request is repeated, and successive refusals are one series', () => {
  const request = (second: number) => line(second, 'bbb', 'message=stream providerID=fake session.id=ses_1')
  const lines = [line(1, 'bbb', 'message=loop session.id=ses_1'), request(2), refusal(3, 'bbb', 'Slow down.')]
  const wait = {provider: 'fake', message: 'Slow down.', since: Date.parse('2026-11-28T14:00:03Z'), until: undefined}
  expect(read(lines, 'ses_1').wait).toEqual(wait)
  expect(read([...lines, request(5)], 'ses_1').wait).toBeUndefined()
  expect(read([...lines, request(5), refusal(6, 'bbb', 'Slow down.')], 'ses_1').wait).toEqual(wait)
  const worked = [...lines, request(5), line(6, 'bbb', 'message=loop session.id=ses_1'), request(7)]
  expect(read([...worked, refusal(8, 'bbb', 'Again.')], 'ses_1').wait).toMatchObject({since: wait.since + 5000})
})

test('a log of its own is read whole, in its older format too', () => {
  const log = new OpenCodeLog(owner, {isShared: false})
  log.add(
    'ERROR 2025-12-01T10:00:00 +5ms service=llm providerID=fake error={"error":{"message":"Too many requests"}} stream error',
  )
  expect(log.wait).toMatchObject({provider: 'fake', message: 'Too many requests'})
})

test('the report of an agent shows open calls and the longest wait, and a new process begins anew', () => {
  const report = new AgentReport()
  const add = (fields: object) => report.add(JSON.stringify({at: 5, session: 'ses_1', ...fields}))
  add({type: 'started'})
  add({type: 'tool', call: 'c1', tool: 'task', isOpen: true, at: 10})
  expect(report.processesSince).toBeUndefined()
  add({type: 'tool', call: 'c2', tool: 'bash', isOpen: true, at: 20, session: 'ses_2'})
  expect(report.processesSince).toBe(20)
  expect(report.openTools).toEqual(['task', 'bash'])
  add({type: 'retry', attempt: 1, message: 'x', next: 100, session: 'ses_2'})
  add({type: 'retry', attempt: 2, message: 'y', next: 200, at: 50, session: 'ses_2', provider: 'fake'})
  expect(report.wait).toEqual({provider: 'fake', message: 'y', since: 5, until: 200})
  add({type: 'idle', session: 'ses_2'})
  expect([report.wait, report.processesSince]).toEqual([undefined, undefined])
  add({type: 'started'})
  expect(report.openTools).toEqual([])
  report.add('not json')
})

test('the last lines of the task before, with the same directory and title, are not ours', () => {
  const created = (run: string) => `message=created id=ses_${run} directory="/a b" path="" title="Fix \\"it\\"" agent=x`
  const log = read([
    line(1, 'bbb', created('bbb')).replace('T14:00:01', 'T13:59:50'),
    refusal(0, 'bbb', 'Come back tomorrow.'),
    line(0, 'bbb', created('bbb')),
    line(2, 'ccc', created('ccc')),
  ])
  expect(log.wait).toBeUndefined()
  expect(log.tail).toBe(line(2, 'ccc', created('ccc')))
})
