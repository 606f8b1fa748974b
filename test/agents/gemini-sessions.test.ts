import {mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, expect, test} from 'vitest'
import {untilLoadable} from '../../src/lib/agents/gemini-sessions.ts'
import {fakeClock} from '../support/fake-clock.ts'
import {scratchFolder} from '../support/scratch.ts'

const scratch = scratchFolder()
afterAll(() => scratch[Symbol.dispose]())
// As Gemini CLI 0.61.0 names it, seen on a disk.
const chats = join(scratch.path, '.gemini/tmp/api/chats')
mkdirSync(chats, {recursive: true})
writeFileSync(join(chats, 'session-2026-11-29T16-37-53eb3524.jsonl'), '{}\n')

/** How long a load waits, in ms. */
async function waitOf(at: string, {binary = '/usr/bin/gemini', id = '53eb3524-bf3c-41a1-a9ec-2a8312f8f8dc'} = {}) {
  const clock = fakeClock()
  clock.advance(Date.parse(at))
  const told: number[] = []
  const env = {HOME: scratch.path}
  await untilLoadable(binary, {sessionId: id, env, clock, onWait: (ms) => told.push(ms)})
  const waited = clock.now() - Date.parse(at)
  expect(told).toEqual(waited === 0 ? [] : [waited])
  return waited
}

test('Gemini CLI loads no session in the minute of its creation, in which it would overwrite it', async () => {
  expect(await waitOf('2026-11-29T16:37:14.500Z')).toBe(45_500)
  expect(await waitOf('2026-11-29T16:38:00Z')).toBe(0)
  expect(await waitOf('2026-11-29T16:36:59.999Z')).toBe(0)
})

test('other sessions and other agents do not wait', async () => {
  expect(await waitOf('2026-11-29T16:37:14Z', {id: 'fc111a57-0713-4ed2-bb67-45748c34a6ef'})).toBe(0)
  expect(await waitOf('2026-11-29T16:37:14Z', {id: ''})).toBe(0)
  expect(await waitOf('2026-11-29T16:37:14Z', {binary: '/usr/bin/claude-agent-acp'})).toBe(0)
})
