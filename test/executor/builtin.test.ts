import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {echoExecutor, noopExecutor} from '../../src/lib/executor/builtin.ts'
import {requestFor, runToEnd} from '../support/agent-run.ts'
import {scratchFolder} from '../support/scratch.ts'

test('echo answers with the prompt, and noop with ok', async () => {
  using scratch = scratchFolder()
  const request = requestFor(scratch.path, 'say "hi"')
  const {outcome, observed} = await runToEnd(echoExecutor, request)
  expect(outcome).toMatchObject({status: 'completed', result: 'say "hi"', error: null})
  expect(observed.spawned).toEqual([])
  expect(readFileSync(join(request.runDir, 'stdout.ndjson'), 'utf8')).toContain(String.raw`say \"hi\"`)
  expect((await runToEnd(noopExecutor, requestFor(scratch.path, 'x'))).outcome.result).toBe('ok')
})

test('a missing run folder is an error that says so', async () => {
  using scratch = scratchFolder()
  const request = requestFor(scratch.path, 'x', {runDir: join(scratch.path, 'gone')})
  await expect(runToEnd(echoExecutor, {...request, runDir: '/nowhere/run'})).rejects.toMatchObject({code: 'RUN_FILES'})
})
