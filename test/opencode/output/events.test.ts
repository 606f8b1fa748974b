import {expect, test} from 'vitest'
import {readFact} from '../../../src/lib/opencode/output/events.ts'
import {lineSplitter} from '../../../src/lib/opencode/output/line-splitter.ts'
import * as lines from '../../support/agent-lines.ts'

test('reads each kind of line', () => {
  expect(readFact(lines.stepStart())).toEqual({type: 'step-start', at: 1, sessionId: 'ses_1'})
  expect(readFact(lines.text('hi', 'msg_2'))).toMatchObject({
    type: 'text',
    text: 'hi',
    messageId: 'msg_2',
    synthetic: false,
  })
  expect(readFact(lines.text('hi', 'm', {synthetic: true}))).toMatchObject({synthetic: true})
  expect(readFact(lines.finish())).toMatchObject({
    type: 'step-finish',
    reason: 'stop',
    cost: 0.5,
    tokens: {input: 10, output: 2, reasoning: 1, cacheRead: 3, cacheWrite: 4},
  })
  expect(readFact(lines.tool('bash', {status: 'error', error: 'no', title: 't'}))).toMatchObject({
    type: 'tool',
    tool: 'bash',
    status: 'error',
    error: 'no',
    title: 't',
  })
  expect(readFact(lines.error('APIError', 'bad key'))).toMatchObject({
    type: 'error',
    name: 'APIError',
    message: 'bad key',
  })
  expect(readFact('{"type":"error","error":{"type":"unknown","message":"m"}}')).toMatchObject({
    name: 'unknown',
    message: 'm',
  })
})

test('passes unknown events through', () => {
  expect(readFact('{"type":"done","sessionID":"ses_9"}')).toEqual({type: 'session', sessionId: 'ses_9'})
  const others = ['{"type":"x"}', '[1]', 'prose', '', '{"type":', '{"type":"text","part":7}', 'null', undefined]
  expect(others.map((line) => readFact(line).type)).toEqual([
    'other',
    'other',
    'other',
    'other',
    'other',
    'text',
    'other',
    'other',
  ])
})

function split(pieces: (string | Buffer)[], most?: number) {
  const found: (string | undefined)[] = []
  const splitter = lineSplitter((line) => found.push(line), most)
  for (const piece of pieces) {
    const bytes = Buffer.from(piece)
    splitter.push(bytes)
    bytes.fill(0) // the caller reuses its buffer
  }
  splitter.end()
  return found
}

test('assembles lines from pieces that end anywhere', () => {
  expect(split(['a\nb', 'c', '\n\nd'])).toEqual(['a', 'bc', '', 'd'])
  const [first, second] = [Buffer.from('é\n').subarray(0, 1), Buffer.from('é\n').subarray(1)]
  expect(split([first, second])).toEqual(['é'])
  expect(split([Buffer.from([0xff, 0x0a])])).toEqual(['\ufffd'])
})

test('skips a line that is too long, and continues with the next', () => {
  expect(split(['12345\n', 'abc', 'def', 'ghi\nok\n'], 5)).toEqual(['12345', undefined, 'ok'])
  expect(split(['123456\nok'], 5)).toEqual([undefined, 'ok'])
})

test('reads 50 MB of events much faster than they are written', () => {
  const line = `${lines.text('x'.repeat(100))}\n`
  const piece = Buffer.from(line.repeat(Math.floor(65_536 / line.length)))
  let count = 0
  const splitter = lineSplitter((text) => (count += readFact(text).type === 'text' ? 1 : 0))
  const begun = performance.now()
  for (let read = 0; read < 50e6; read += piece.length) splitter.push(piece)
  expect(count).toBeGreaterThan(200_000)
  expect(performance.now() - begun).toBeLessThan(5000)
})

test('impossible token counts are ignored', () => {
  const tokens = {input: 1e308, output: -5, reasoning: '7', cache: {read: 3}}
  const line = JSON.stringify({type: 'step_finish', part: {reason: 'stop', tokens, cost: -1}})
  expect(readFact(line)).toMatchObject({tokens: {input: 0, output: 0, reasoning: 0, cacheRead: 3}, cost: 0})
})
