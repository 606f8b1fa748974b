import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import type {Task} from '../../src/lib/protocol/schemas.ts'
import {cli} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {startProxy} from '../support/proxy.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {repository} from '../support/scratch.ts'
import {openWorkshop} from '../support/workshop.ts'

/** A control plane with a codebase that no worker serves, and more waiting tasks than there are first digits of ids. */
let fleet: Awaited<ReturnType<typeof startFleet>>
let codebase = ''
const tasks: Task[] = []

beforeAll(async () => {
  fleet = await startFleet()
  codebase = await fleet.http.codebase('absent-1', '/srv/idle')
  for (let i = 0; i < 17; i++) tasks.push(await fleet.http.task(codebase, {title: `Task ${i}`}))
})
afterAll(() => fleet[Symbol.asyncDispose]())

const json = async (...args: string[]) => {
  const {code, stdout, stderr} = await fleet.cli([...args, '--json'])
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

test('each command that takes a task accepts any unique beginning of its id', async () => {
  const [first, second] = tasks
  expect(await json('tasks', 'get', first?.id.slice(0, 8) ?? '')).toMatchObject({id: first?.id})
  expect(await json('tasks', 'output', first?.id.slice(0, 12) ?? '')).toEqual({outputs: []})
  expect(await json('tasks', 'cancel', second?.id.slice(0, 8) ?? '')).toMatchObject({
    id: second?.id,
    status: 'cancelled',
  })
  expect(await json('tasks', 'retry', second?.id.slice(0, 8) ?? '')).toMatchObject({id: second?.id, attempt: 2})
  const followed = await json('tasks', 'cancel', second?.id.slice(0, 8) ?? '')
  expect(followed).toMatchObject({id: second?.id, status: 'cancelled'})
  expect((await fleet.cli(['tasks', 'output', second?.id.slice(0, 8) ?? '', '--follow'])).code).toBe(3)
})

test('an ambiguous beginning exits 2 and lists the tasks that it may mean; an unknown one exits as before', async () => {
  const shared = tasks.map(({id}) => id[0] ?? '').find((digit, i, all) => all.indexOf(digit) < i) ?? ''
  const meant = tasks.filter(({id}) => id.startsWith(shared))
  const {code, stderr} = await fleet.cli(['tasks', 'cancel', shared])
  expect(code).toBe(2)
  expect(stderr).toContain(`Several tasks have an id that begins with ${shared}. Give more of the id.`)
  for (const {id, title} of meant.slice(-10)) expect(stderr).toMatch(new RegExp(`→ ${id} {2}\\w+ {2}${title}`))
  const statuses = await Promise.all(meant.map(async ({id}) => (await fleet.http.get(id)).status))
  expect(statuses.filter((status) => status === 'pending').length).toBeGreaterThan(0)
  expect(await fleet.cli(['tasks', 'get', 'zzz'])).toMatchObject({code: 1, stderr: expect.stringMatching('not found')})
  expect((await fleet.cli(['tasks', 'get', ''])).code).toBe(2)
})

test('a complete id costs no further request', async () => {
  await using proxy = await startProxy(fleet.url)
  const requestsOf = async (...args: string[]) => {
    proxy.requests.length = 0
    expect((await cli([...args, '--server', proxy.url], {cwd: fleet.path, env: fleet.env})).code).toBe(0)
    return [...proxy.requests]
  }
  const id = tasks.at(-1)?.id ?? ''
  expect(await requestsOf('tasks', 'get', id)).toEqual([
    `GET /v1/opencode/tasks/${id}`,
    `GET /v1/opencode/tasks/${id}/inputs`,
  ])
  expect(await requestsOf('tasks', 'cancel', id)).toEqual([
    `POST /v1/opencode/tasks/${id}/cancel`,
    `GET /v1/opencode/tasks/${id}`,
  ])
  expect(await requestsOf('tasks', 'get', id.slice(0, 8))).toHaveLength(4)
  const listed = 'GET /v1/opencode/codebases'
  const [codebaseTasks] = [`POST /v1/opencode/codebases/${codebase}/tasks`]
  for (const given of [codebase, codebase.slice(0, 4)])
    expect(await requestsOf('tasks', 'create', 'x', '--codebase', given)).toEqual([listed, codebaseTasks])
})

test('codebases, workers and sessions are found by the beginning of their ids too', async () => {
  expect(await json('tasks', 'list', '--codebase', codebase.slice(0, 4), '--limit', '1')).toMatchObject([
    {codebase_id: codebase},
  ])
  for (const worker of ['absent-1', 'abs']) expect(await json('tasks', 'list', '--worker', worker)).not.toEqual([])
  const sessions = ['ses_alpha1', 'ses_alpha2', 'ses_beta1'].map((id) => ({id, title: `Session ${id}`}))
  const synced = await fleet.http.call('POST', `/v1/opencode/codebases/${codebase}/sessions/sync`, {
    worker_id: 'absent-1',
    sessions,
  })
  expect(synced.status).toBe(200)
  const create = ['tasks', 'create', 'x', '--codebase', codebase, '--resume']
  expect(await json(...create, 'ses_b')).toMatchObject({metadata: {resume_session_id: 'ses_beta1'}})
  expect(await json(...create, 'ses_other')).toMatchObject({metadata: {resume_session_id: 'ses_other'}})
  expect(await fleet.cli([...create, 'ses_al'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/Several sessions [^]*ses_alpha\d {2}Session ses_alpha\d/),
  })
  await fleet.http.codebase('gone-1', '/srv/gone')
  await fleet.http.codebase('gone-2', '/srv/gone2')
  expect(await fleet.cli(['workers', 'forget', 'gone'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('Several workers have an id that begins with gone'),
  })
  await fleet.http.call('POST', '/v1/opencode/workers/gone-1/unregister')
  expect(await json('workers', 'forget', 'gone-1')).toMatchObject({worker_id: 'gone-1'})
  const doomed = await fleet.http.codebase('absent-1', '/srv/doomed')
  expect(await json('codebases', 'remove', doomed.slice(0, 5))).toMatchObject({id: doomed})
})

test('status and dashboard accept the beginning of the name or the id of a local worker', async () => {
  const path = repository(join(fleet.path, 'p'))
  await fleet.worker('builder', [path])
  const [{worker_id: id}] = (await json('status', '--name', 'build')).local
  expect((await json('status', '--name', id.slice(0, 6))).local).toMatchObject([{name: 'builder'}])
})

test('on the existing server the client finds the task among those that the server lists', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const run = (...args: string[]) => shop.cli([...args, '--server', server.url])
  server.workers.set('w1', {worker_id: 'w1', name: 'w', last_seen: new Date()} as never)
  const home = server.registerCodebase({name: 'p', path: '/srv/p', worker_id: 'w1'})
  const other = server.registerCodebase({name: 'q', path: '/srv/q', worker_id: 'w1'})
  // It lists the oldest hundred only. Those of the other codebase are found by asking for it.
  for (let i = 0; i < 120; i++) server.trigger(home.id, {prompt: `old ${i}`})
  const hidden = server.trigger(other.id, {prompt: 'hidden'})
  const got = await run('tasks', 'get', hidden.id.slice(0, 8), '--json')
  expect(JSON.parse(got.stdout)).toMatchObject({id: hidden.id})
  expect((await run('tasks', 'cancel', hidden.id.slice(0, 8))).stdout).toContain(`Task ${hidden.id} is cancelled.`)
  expect(server.task(hidden.id).status).toBe('cancelled')
  expect((await run('tasks', 'get', 'zzz')).code).toBe(1)
})
