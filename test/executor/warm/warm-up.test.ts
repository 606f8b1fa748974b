import {mkdirSync, readdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {beginLog} from '../../../src/lib/executor/acp/begin-log.ts'
import {removeLeftSessions} from '../../../src/lib/executor/warm/warm-up.ts'
import {scratchFolder} from '../../support/scratch.ts'

test('the session of a warm-up whose worker was killed is removed by the next one, and none of a task', async () => {
  using scratch = scratchFolder()
  const folderOf = (name: string, prefix: string, messages: string[]) => {
    const dir = join(scratch.path, name)
    mkdirSync(dir)
    const start = {
      ...{kind: 'acp' as const, program: 'opencode', name: 'OpenCode', cwd: '/code', sessionId: null, model: null},
      ...{mode: null, permissions: 'deny' as const, askMs: 0, fallsBack: false, hasReporter: false},
      ...{agentDir: dir, prefix, announced: null},
    }
    beginLog(dir, start, 1)
    writeFileSync(join(dir, 'messages.ndjson'), messages.map((line) => `${line}\n`).join(''))
  }
  const opened = (prefix: string, id: string) =>
    JSON.stringify({jsonrpc: '2.0', id: `${prefix}session`, result: {sessionId: id}})
  folderOf('warm', 'warm-up-', ['noise', opened('warm-up-', 'ses_w'), '{"half'])
  folderOf('early', 'warm-up-', [])
  folderOf('busy', 'task-1-', [opened('warm-up-', 'ses_w2'), opened('task-1-', 'ses_t')])
  const deleted: string[][] = []
  await removeLeftSessions(scratch.path, async (id, cwd) => void deleted.push([id, cwd]))
  expect(deleted).toEqual([['ses_w', '/code']])
  // The process of that agent may run a task.
  expect(readdirSync(join(scratch.path, 'warm'))).toEqual(['messages.ndjson'])
  await removeLeftSessions(scratch.path, async () => expect.unreachable('a second removal'))
  await removeLeftSessions(join(scratch.path, 'none'), async () => {})
})
