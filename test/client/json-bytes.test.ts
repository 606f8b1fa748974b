import {expect, test} from 'vitest'
import {jsonWithBytes} from '../../src/lib/client/json-bytes.ts'

const memory = {buffer: Buffer.alloc(0)}
const read = (text: Buffer) =>
  JSON.parse(jsonWithBytes({worker_id: 'w"1', offset: 7}, 'output', text, memory).toString())

test('every character survives, in memory that is used again and again', () => {
  const all = Array.from({length: 0x3000}, (_, code) => String.fromCharCode(code)).join('')
  for (const text of ['', 'short', all, '"\\\b\f\n\r\t\u0000\u001f\u007f', '\u2028é€😀'.repeat(1000), 'short again'])
    expect(read(Buffer.from(text))).toEqual({worker_id: 'w"1', offset: 7, output: text})
})

test('invalid bytes become the replacement character, as in a text', () => {
  const broken = Buffer.from([0x22, 0xff, 0xc3, 0x0a])
  expect(read(broken).output).toBe(broken.toString('utf8'))
})
