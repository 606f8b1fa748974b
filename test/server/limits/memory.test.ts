import {request} from 'node:http'
import {expect, test} from 'vitest'
import {BodyBudget} from '../../../src/lib/server/http/body-budget.ts'
import {Api} from '../support/api.ts'
import {startPlane, until} from '../support/plane.ts'

test('when as many tasks wait as may wait, another is refused with 503 and a time to try again, until one has left', async () => {
  await using plane = await startPlane({maxPending: 3})
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const tasks = await Promise.all(Array.from({length: 3}, () => api.create('global')))
  const refused = await api.post('codebaseTasks', {codebase: 'global'}, {title: 't', prompt: 'p'})
  expect(refused.status).toBe(503)
  expect(refused.body.detail).toContain('3 tasks wait already')
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await api.get('tasks')).body).toHaveLength(3)
  await api.post('taskCancel', {task: tasks[0]?.id ?? ''})
  expect((await api.post('codebaseTasks', {codebase: 'global'}, {title: 't', prompt: 'p'})).status).toBe(200)
})

test('large bodies are refused with 503 while too many bytes are being received, and small ones are not', async () => {
  await using plane = await startPlane({maxBodies: 400_000})
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const body = JSON.stringify({title: 't', prompt: 'x'.repeat(300_000)})
  const url = `${plane.url}/v1/opencode/codebases/global/tasks`
  const headers = {'content-type': 'application/json', 'content-length': String(body.length)}
  const slow = request(url, {method: 'POST', headers})
  const answered = new Promise<number>((resolve, reject) => {
    slow.on('response', (response) => resolve(response.resume().statusCode ?? 0)).on('error', reject)
  })
  slow.write(body.slice(0, 250_000))
  const second = () => api.send('POST', '/v1/opencode/codebases/global/tasks', body)
  const refused = await until(async () => {
    const answer = await second()
    return answer.status === 503 ? answer : undefined
  })
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await api.create('global')).status).toBe('pending')
  slow.end(body.slice(250_000))
  expect(await answered).toBe(200)
  await until(async () => (await second()).status === 200)
})

test('the memory of a body is free again when its request is answered', () => {
  const budget = new BodyBudget(1_000_000)
  for (let i = 0; i < 10; i++) {
    using use = budget.open()
    use.add(900_000)
    using other = budget.open()
    expect(() => other.add(200_000)).toThrow('try again')
  }
})
