import {expect, test} from 'vitest'
import {logReporter} from '../../src/lib/events/log-reporter.ts'
import type {LogOptions} from '../../src/lib/events/log-writer.ts'
import type {EventBody, WorkerEvent} from '../../src/lib/events/worker-event.ts'

const at = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
const id = '0b5c7a34-9f0e-4a51-8d6f-2f6c1c1d3a11'

async function lines(format: LogOptions['format'], events: EventBody[], level: LogOptions['level'] = 'info') {
  const written: string[] = []
  const report = await logReporter({format, level, write: (text) => written.push(text)})
  for (const event of events) report({at, ...event} as WorkerEvent)
  return written
}

const registered = {
  type: 'worker.registered',
  workerId: 'w1',
  name: 'box',
  server: 'https://plane',
  first: true,
} as const
const codebase = {type: 'codebase.registered', codebaseId: 'c1', name: 'api', path: '/srv/api'} as const
const started = {
  type: 'task.started',
  taskId: id,
  attempt: 1,
  title: 'Mend it',
  path: '/srv/api',
  agent: 'build',
  pid: 7,
} as const
const failed = {type: 'task.finished', taskId: id, status: 'failed', ms: 1500, error: 'why', cost: 0} as const

test('messages begin with the phrases that people search for', async () => {
  const poll = {type: 'link.changed', link: 'poll', reason: 'cut'} as const
  const text = await lines('text', [registered, codebase, poll])
  expect(text.map((line) => line.slice(31))).toEqual([
    "Worker registered successfully as 'box' (ID: w1) with https://plane\n",
    "Registered codebase 'api' (ID: c1) at /srv/api\n",
    'Falling back to polling: cut\n',
  ])
  expect(text[0]?.slice(0, 31)).toBe('2026-01-02T03:04:05.678Z INFO  ')
  const messages = (await lines('json', [registered, codebase, poll])).map((line) => JSON.parse(line).msg as string)
  expect(messages[0]).toMatch(/^Worker registered successfully/)
  expect(messages[1]).toMatch(/^Registered codebase/)
  expect(messages[2]).toMatch(/poll/)
})

test('each line of a task contains the complete task id, as text and as JSON', async () => {
  const events = [started, {type: 'notice', level: 'warn', text: 'odd', taskId: id} as const, failed]
  for (const line of await lines('text', events)) expect(line).toContain(` [${id}] `)
  for (const line of await lines('json', events)) expect(JSON.parse(line)).toMatchObject({taskId: id})
})

test('a JSON line is one object with time, level, message and the fields of the event, without duplicate keys', async () => {
  const [line = ''] = await lines('json', [{type: 'notice', level: 'warn', text: 'disk\nlow'}])
  expect(JSON.parse(line)).toEqual({level: 'warn', time: '2026-01-02T03:04:05.678Z', type: 'notice', msg: 'disk\nlow'})
  expect(line.match(/"level"/g)).toHaveLength(1)
  expect(line.endsWith('}\n')).toBe(true)
})

test('for the journal, a line begins with its priority and has no time', async () => {
  const notice = (level: 'debug' | 'warn') => ({type: 'notice', level, text: level}) as const
  expect(await lines('journal', [notice('debug'), registered, notice('warn'), failed], 'debug')).toEqual([
    '<7>debug\n',
    "<6>Worker registered successfully as 'box' (ID: w1) with https://plane\n",
    '<4>warn\n',
    `<3>[${id}] Task failed after 1.5 s: why\n`,
  ])
})

test('output of an agent cannot forge a line or move the cursor, and lower levels are omitted', async () => {
  const activity = {type: 'task.activity', taskId: id, line: 'a\n2026 ERROR forged\u001b[2J\r\nb'} as const
  for (const format of ['text', 'journal'] as const) {
    const [line = '', ...more] = await lines(format, [activity])
    expect(more).toEqual([])
    // oxlint-disable-next-line no-control-regex -- control characters are the point
    expect(line.trimEnd()).not.toMatch(/[\u0000-\u001f]/)
  }

  expect(await lines('text', [activity], 'warn')).toEqual([])
})

test("the JSON log has the fields of the event, but not the full text of an agent's message", async () => {
  const activity: EventBody = {type: 'task.activity', taskId: id, line: 'Dear all …', text: 'Dear all\n'.repeat(100)}
  const [line = ''] = await lines('json', [activity])
  expect(JSON.parse(line)).toMatchObject({level: 'info', msg: 'Dear all …', taskId: id, line: 'Dear all …'})
  expect(line).not.toContain('"text"')
})
