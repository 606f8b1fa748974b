import {expect, test} from 'vitest'
import {logReporter} from '../../src/lib/events/log-reporter.ts'
import type {EventBody, WorkerEvent} from '../../src/lib/events/worker-event.ts'

function logged(format: 'text' | 'json', ...events: EventBody[]): string[] {
  const lines: string[] = []
  const report = logReporter({format, level: 'info', write: (text) => lines.push(text)})
  for (const event of events) report({at: 0, ...event} as WorkerEvent)
  return lines
}

test('a line of the log is one line, whatever an agent says', () => {
  const said: EventBody = {type: 'task.activity', taskId: 'a', line: 'one\n\u001b[2J two', text: 'one\n\u001b[2J two'}
  expect(logged('text', said)).toEqual(['1970-01-01T00:00:00.000Z INFO  [a] one ⏎  [2J two\n'])
})

test('the JSON log has the fields of the event, but not at length what an agent says', () => {
  const said: EventBody = {type: 'task.activity', taskId: 'a', line: 'Dear all …', text: 'Dear all\n'.repeat(100)}
  const paused: EventBody = {type: 'pause.changed', isPaused: true}
  expect(logged('json', said, paused).map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({level: 'info', msg: 'Dear all …', taskId: 'a', line: 'Dear all …'}),
    expect.objectContaining({level: 'info', msg: 'Paused: no task is taken', isPaused: true}),
  ])
  expect(logged('json', said)[0]).not.toContain('text')
})
