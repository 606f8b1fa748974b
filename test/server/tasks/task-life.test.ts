import {expect, test} from 'vitest'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {startPlane} from '../support/plane.ts'

test('a task passes through creation, stream, claim, output and report to its end', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  const codebase = await api.codebase('w1', '/src/app')
  await using stream = await openStream(api, 'w1')
  const task = await api.create(codebase, {metadata: {model: 'a/b'}})
  expect(await stream.pushed(task.id)).toMatchObject({
    task_id: task.id,
    prompt: 'do it',
    description: 'do it',
    status: 'pending',
    metadata: {model: 'a/b'},
  })

  expect((await api.claim(task.id, 'w1')).body).toMatchObject({
    attempt: 1,
    lease_seconds: 60,
    task: {status: 'running'},
  })
  expect((await api.output(task.id, 'w1', 'line\n', {attempt: 1, offset: 0, length: 5})).body).toEqual({
    success: true,
    next: 5,
  })
  expect((await api.report(task.id, 'w1', 'completed', {attempt: 1, result: 'ok'})).status).toBe(200)
  expect(await api.task(task.id)).toMatchObject({status: 'completed', result: 'ok', worker_id: 'w1', waiting: null})
  expect((await api.get('taskOutput', {task: task.id})).body).toMatchObject({
    outputs: [{output: 'line\n', attempt: 1, offset: 0}],
    total: 1,
    next: 1,
  })
  expect(plane.log).toEqual([])
})
