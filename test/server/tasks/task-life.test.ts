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

test('what the agent of a running task does is shown in the task, for as long as the heartbeats say so', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  const task = await api.create(await api.codebase('w1', '/src/app'))
  await api.claim(task.id, 'w1')
  expect(await api.task(task.id)).toMatchObject({agent_state: null})
  const beat = (state: object | null) =>
    api.post('heartbeat', {worker: 'w1'}, {running: [{id: task.id, attempt: 1, state}], free: 1})
  expect((await beat({state: 'tool', what: 'bash npm test', for_ms: 5000})).status).toBe(200)
  const shown = (await api.task(task.id)) as {agent_state: {for_ms: number}}
  expect(shown.agent_state).toMatchObject({state: 'tool', what: 'bash npm test'})
  expect(shown.agent_state.for_ms).toBeGreaterThanOrEqual(5000)
  await beat(null)
  expect(await api.task(task.id)).toMatchObject({agent_state: null})
  await beat({state: 'waiting', for_ms: 1})
  expect((await beat({state: 'a state of a later version', for_ms: 1})).status).toBe(200)
  expect(await api.task(task.id)).toMatchObject({agent_state: null})
  await api.report(task.id, 'w1', 'completed', {attempt: 1})
  expect(await api.task(task.id)).toMatchObject({agent_state: null})
})

test('tasks are listed newest or oldest first page by page, and by the beginning of their ids', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  const codebase = await api.codebase('w1', '/src/app')
  const ids: string[] = []
  for (let i = 0; i < 7; i++) ids.push((await api.create(codebase, {priority: i % 3})).id)
  const read = async (query: string) => {
    const found: string[] = []
    for (let cursor = ''; ;) {
      const response = await fetch(`${plane.url}/v1/opencode/tasks?limit=3&${query}${cursor}`)
      expect(response.headers.get('x-order')).toBe(new URLSearchParams(query).get('order'))
      found.push(...((await response.json()) as {id: string}[]).map(({id}) => id))
      const next = response.headers.get('x-next-cursor')
      if (next === null) return found
      cursor = `&cursor=${next}`
    }
  }
  expect(await read('order=oldest')).toEqual(ids)
  expect(await read('order=newest')).toEqual(ids.toReversed())
  expect(await read('status=pending&order=newest')).toEqual(ids.toReversed())
  const [first = ''] = ids
  expect(await read(`order=newest&id_prefix=${first.slice(0, 10)}`)).toEqual([first])
  expect(await read('order=newest&id_prefix=%25')).toEqual([])
  expect((await fetch(`${plane.url}/v1/opencode/tasks?order=best`)).status).toBe(400)
})
