import {chmodSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {answering} from '../../support/agent-lines.ts'
import {startOneWorker} from '../../support/one-worker.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {stubBinary} from '../../support/stub-executor.ts'

/** An OpenCode with one model, which records how it is called. */
function program(folder: string): string {
  const path = join(folder, 'opencode')
  writeFileSync(
    path,
    `#!/bin/sh
[ "$1" = models ] && { echo fake/x; exit; }
echo "$@" >> ${folder}/calls
exec ${stubBinary} "$@"
`,
  )
  chmodSync(path, 0o755)
  return path
}

test('a task with a model that OpenCode does not have fails, and the error names the setting', async () => {
  using scratch = scratchFolder()
  await using at = await startOneWorker({env: {OPENCODE_BIN_PATH: program(scratch.path)}})
  const {id} = await at.http.task(at.codebase, {prompt: answering('ok'), model: 'anthropic/claude-sonnet-4'})
  expect(await at.ended(id)).toMatchObject({
    status: 'failed',
    error: expect.stringMatching(
      /^OpenCode has no model anthropic\/claude-sonnet-4.*; unknown_model: default would run the task with its default/,
    ),
  })
})

test('with unknown_model: default such a task runs with the default model of OpenCode, and a model that it has is used', async () => {
  using scratch = scratchFolder()
  const env = {OPENCODE_BIN_PATH: program(scratch.path), A2A_UNKNOWN_MODEL: 'default'}
  await using at = await startOneWorker({env})
  for (const model of ['anthropic/claude-sonnet-4', 'fake/x']) {
    const {id} = await at.http.task(at.codebase, {prompt: answering('ok'), model})
    expect(await at.ended(id)).toMatchObject({status: 'completed', result: 'ok'})
  }
  const runs = readFileSync(join(scratch.path, 'calls'), 'utf8').match(/^run --format.*$/gm)
  expect(runs?.map((line) => /--model (\S+)/.exec(line)?.[1])).toEqual([undefined, 'fake/x'])
  expect(at.worker.stderr()).toContain(
    'OpenCode has no model anthropic/claude-sonnet-4: the task runs with its default (unknown_model)',
  )
})
