import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFaultProxy} from '../../chaos/fault-proxy.ts'
import {startFleet} from '../support/fleet.ts'
import {processesOf} from '../support/opencode-fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {says} from '../support/workshop.ts'

test('a task offered to a draining worker goes to another worker at once', async () => {
  await using fleet = await startFleet({env: {A2A_GLOBAL_CODEBASE: 'home'}})
  const path = repository(join(fleet.path, 'p'))
  const leaving = await fleet.worker('leaving', [path], ['--max-concurrent-tasks', '4'])
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@hang'})
  await says(leaving, 'Executing task')
  await fleet.worker('staying', [], ['--max-concurrent-tasks', '1'])
  leaving.process.kill('SIGTERM')
  await says(leaving, 'Worker is draining')
  const tasks = await Promise.all([1, 2, 3].map(() => fleet.http.task('global', {prompt: '@lines=1'})))
  const identity = readFileSync(join(fleet.path, 'state/workers/staying/identity.json'), 'utf8')
  const {worker_id} = JSON.parse(identity) as {worker_id: string}
  for (const task of tasks) expect(await fleet.ended(task.id)).toMatchObject({status: 'completed', worker_id})
  expect(await fleet.http.get(id)).toMatchObject({status: 'running', attempt: 1})
})

test('on the third signal the worker exits at once, and the next start adopts the agent', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const worker = await fleet.worker('w', [path])
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@trap @hang'})
  await says(worker, 'line 0')
  for (const text of ['Worker is draining', 'cancelling the running tasks']) {
    worker.process.kill('SIGTERM')
    await says(worker, text)
  }

  worker.process.kill('SIGTERM')
  expect((await worker.finished).code).toBe(130)
  expect(processesOf(id)).toHaveLength(1)
  await fleet.worker('w', [path])
  expect(await fleet.http.get(id)).toMatchObject({status: 'running', attempt: 1})
})

test('a task that is cancelled before its assignment is confirmed is ended at once', async () => {
  await using fleet = await startFleet()
  await using proxy = await startFaultProxy(fleet.url)
  const path = repository(join(fleet.path, 'p'))
  await fleet.workerAt(proxy.url, 'w', [path])
  let claims = 0
  proxy.chooseAction = (request) =>
    request.includes('/tasks/claim') && (claims += 1) === 1 ? {do: 'hang'} : {do: 'pass'}
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@hang'})
  await until(() => claims === 1 && processesOf(id).length > 0, 'the agent, and the confirmation')
  expect((await fleet.cli(['tasks', 'cancel', id, '--wait'])).code).toBe(0)
  proxy.cut()
  const next = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=1'})
  expect((await fleet.ended(next.id)).status).toBe('completed')
  expect(await fleet.http.get(id)).toMatchObject({status: 'cancelled', attempt: 1})
  expect(processesOf(id)).toEqual([])
})

test('a success stays a success if the task is cancelled while its report is being sent', async () => {
  await using fleet = await startFleet()
  await using proxy = await startFaultProxy(fleet.url)
  const path = repository(join(fleet.path, 'p'))
  const worker = await fleet.workerAt(proxy.url, 'w', [path])
  let isHeld = true
  proxy.chooseAction = (request) =>
    isHeld && /^PUT .*\/status/.test(request) ? {do: 'reset', when: 'before'} : {do: 'pass'}
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=1'})
  await says(worker, 'Task completed')
  await fleet.cli(['tasks', 'cancel', id])
  isHeld = false
  expect(await fleet.ended(id)).toMatchObject({status: 'completed', result: 'line 0', attempt: 1})
})
