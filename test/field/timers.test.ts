import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import {stopTimeout} from '../../src/lib/service/units/units.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {startOneWorker} from '../support/one-worker.ts'
import {says} from '../support/workshop.ts'

test('--timeout accepts more seconds than a timer of Node can hold', async () => {
  await using one = await startOneWorker()
  const create = ['tasks', 'create', '--codebase', one.codebase, '--wait']
  for (const seconds of ['2592000', '5000000'])
    expect(await one.cli([...create, '--timeout', seconds, `sleep 0.3\n${answering('ok')}`])).toMatchObject({
      code: 0,
      stdout: 'ok\n',
    })
})

test('a drain_timeout of 30 days lets a task finish', async () => {
  await using one = await startOneWorker({env: {A2A_DRAIN_TIMEOUT: '2592000'}})
  const task = await one.begin(`${printing(stepStart())}while [ ! -e go ]; do sleep 0.05; done\n${answering('done')}`)
  await says(one.worker, 'Executing task')
  one.worker.process.kill('SIGTERM')
  await says(one.worker, 'draining')
  writeFileSync(join(one.tree, 'go'), '')
  expect(await one.ended(task)).toMatchObject({status: 'completed', result: 'done'})
  expect((await one.worker.finished).code).toBe(0)
})

test('a sleep of 30 days lasts until it is aborted', async () => {
  const abort = new AbortController()
  let isOver = false
  const sleep = systemClock.sleep(2_592_000_000, abort.signal).then(() => (isOver = true))
  await systemClock.sleep(20)
  expect(isOver).toBe(false)
  abort.abort()
  await sleep
  expect(isOver).toBe(true)
})

test('the stop timeout of a unit holds any drain_timeout', () => {
  expect([300, 2_592_000, 0, Number.MAX_SAFE_INTEGER].map(stopTimeout)).toEqual([
    '330',
    '2592030',
    'infinity',
    'infinity',
  ])
})
