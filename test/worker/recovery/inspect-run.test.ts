import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {JournalledRun} from '../../../src/lib/journal/journalled-run.ts'
import {uploadCursor, savedReport, readSpool} from '../../../src/lib/worker/recovery/inspect-run.ts'
import {finish, stepStart, text} from '../../support/agent-lines.ts'
import {scratchFolder} from '../../support/scratch.ts'

const runIn = (folder: string, cursor = 0) => ({run_dir: folder, cursor}) as JournalledRun

test('a spool of 50 MB is read to its end without blocking the event loop', async () => {
  using scratch = scratchFolder()
  const many = `${text('some words of an answer', 'msg_1')}\n`.repeat(400_000)
  writeFileSync(
    join(scratch.path, 'stdout.ndjson'),
    `${stepStart()}\n${many}${text('the end', 'msg_2')}\n${finish()}\n`,
  )
  let turns = 0
  const timer = setInterval(() => (turns += 1), 0)
  const record = await readSpool(runIn(scratch.path))
  clearInterval(timer)
  expect(record).toMatchObject({finished: true, result: 'the end', events: 400_003})
  expect(turns).toBeGreaterThan(50)
})

test('a run without a spool has no output; a cursor beyond the spool starts again at 0', async () => {
  using scratch = scratchFolder()
  expect(await readSpool(runIn(scratch.path))).toMatchObject({events: 0, finished: false})
  writeFileSync(join(scratch.path, 'stdout.ndjson'), 'x'.repeat(10))
  expect([0, 10, 11].map((cursor) => uploadCursor(runIn(scratch.path, cursor)))).toEqual([0, 10, 0])
})

test('an invalid report counts as missing', () => {
  const good = {status: 'completed', worker_id: 'w', usage: {input: 1}}
  expect(savedReport({report: JSON.stringify(good)})).toMatchObject(good)
  expect(savedReport({report: JSON.stringify({...good, status: 'pending'})})).toMatchObject({status: 'pending'})
  for (const change of [{status: 'compleued'}, {status: 'running'}, {worker_id: 1}, {usage: {input: 'x'}}])
    expect(savedReport({report: JSON.stringify({...good, ...change})})).toBeUndefined()
  expect(savedReport({report: '{"status":"compl'})).toBeUndefined()
  expect(savedReport({report: null})).toBeUndefined()
})
