import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import type {Running} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {caller} from '../support/plane.ts'
import {repository, until} from '../support/scratch.ts'
import {says} from '../support/workshop.ts'

/** A fleet with one worker that reads its settings from a file, and a function that rewrites that file. */
async function configured(settings: (path: string) => Record<string, unknown>, env: Record<string, string> = {}) {
  const fleet = await startFleet({env, isPlaneProcess: 'A2A_AUTH_TOKENS' in env})
  onTestFinished(() => fleet[Symbol.asyncDispose]())
  const file = join(fleet.path, 'worker.json')
  const write = (content: Record<string, unknown> | string) =>
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content), {mode: 0o600})
  const before = settings(fleet.path)
  write(before)
  const worker = await fleet.worker('w', [], ['--config', file])
  return {fleet, worker, write, before}
}

/** Makes the worker reload, and waits for its log line about the result. */
async function reload(worker: Running, answer: string | RegExp): Promise<void> {
  worker.process.kill('SIGHUP')
  await says(worker, answer)
}

type Fleet = Awaited<ReturnType<typeof startFleet>>

const isRunning = (fleet: Fleet, id: string) =>
  until(async () => (await fleet.http.get(id)).status === 'running', `task ${id} to run`)

const repositories = (folder: string, names: string[]) => names.map((name) => repository(join(folder, name)))

test('after SIGHUP a codebase added to the file is served, and a removed one is not', async () => {
  const {fleet, worker, write, before} = await configured((path) => ({codebases: repositories(path, ['a'])}))
  const [a = '', b = ''] = repositories(fleet.path, ['a2', 'b'])
  const old = join(fleet.path, 'a')
  const runs = await fleet.http.task(await fleet.codebaseId(old), {prompt: '@hang'})
  await isRunning(fleet, runs.id)

  write({...before, codebases: [a, b]})
  await reload(worker, 'Settings reloaded: codebases')
  await says(worker, /Codebase 'a' at .* is no longer served/)
  const id = await until(() => fleet.codebaseId(b), 'the new codebase to be known')
  const task = await fleet.http.task(id)
  expect((await fleet.ended(task.id)).status).toBe('completed')

  expect((await fleet.http.get(runs.id)).status).toBe('running')
  await fleet.http.call('POST', `/v1/opencode/tasks/${runs.id}/cancel`)
  expect((await fleet.ended(runs.id)).status).toBe('cancelled')

  const waits = await fleet.http.task(await fleet.codebaseId(old))
  await says(worker, 'Task not taken: its codebase is no longer served')
  await until(async () => (await fleet.http.get(waits.id)).status === 'pending', 'the task to be declined')

  write({...before, codebases: [old, b]})
  worker.process.kill('SIGHUP')
  expect((await fleet.ended(waits.id)).status).toBe('completed')
})

test('with more slots in the file, a task that waits for a slot starts at SIGHUP', async () => {
  const {fleet, worker, write, before} = await configured((path) => ({
    codebases: repositories(path, ['a', 'b']),
    max_concurrent_tasks: 1,
  }))
  const tasks = []
  for (const name of ['a', 'b'])
    tasks.push(await fleet.http.task(await fleet.codebaseId(join(fleet.path, name)), {prompt: '@hang'}))
  const [first, second] = tasks.map(({id}) => id)
  await isRunning(fleet, first ?? '')
  await until(async () => (await fleet.http.get(second ?? '')).waiting, 'the second one to wait')
  write({...before, max_concurrent_tasks: 2})
  await reload(worker, 'Settings reloaded: max_concurrent_tasks')
  await isRunning(fleet, second ?? '')
  expect((await fleet.http.get(first ?? '')).status).toBe('running')
  const [known] = (await fleet.http.call('GET', '/v1/opencode/workers')).body
  expect(known.max_concurrent_tasks).toBe(2)
})

test('a broken file is reported, and all settings stay as they were', async () => {
  const {fleet, worker, write, before} = await configured((path) => ({codebases: repositories(path, ['a'])}))
  const id = await fleet.codebaseId(join(fleet.path, 'a'))
  write('{"codebases": [')
  await reload(worker, /ERROR The reload failed, and all settings stay as they were\. .* is not valid JSON/)
  write({...before, task_timeout: -1, codebases: []})
  await reload(worker, /ERROR The reload failed, .* task_timeout/)
  write({...before, auth_token_file: join(fleet.path, 'not-there')})
  await reload(worker, /ERROR The reload failed, .* token file .* cannot be read/)
  expect((await fleet.ended((await fleet.http.task(id)).id)).status).toBe('completed')
  write(before)
  await reload(worker, 'INFO  Settings reloaded: no changes')
})

test('a setting that needs a restart is reported, and a live setting takes effect', async () => {
  const {fleet, worker, write, before} = await configured((path) => ({codebases: repositories(path, ['a'])}))
  const id = await fleet.codebaseId(join(fleet.path, 'a'))
  write({...before, capabilities: ['other'], allowed_agents: ['plan'], log_level: 'debug', redact: ['l.ne'], typo: 1})
  await reload(worker, 'WARN  These settings need a restart: capabilities')
  expect(worker.stderr()).toMatch(/INFO {2}Settings reloaded: redact, allowed_agents, log_level\n/)
  expect(worker.stderr()).toMatch(/WARN .* unknown setting "typo"/)
  const refused = await fleet.ended((await fleet.http.task(id, {agent_type: 'build'})).id)
  expect(refused.error).toContain('build')
  const redacted = await fleet.http.task(id, {agent_type: 'plan'})
  expect((await fleet.ended(redacted.id)).status).toBe('completed')
  expect(await fleet.output(redacted.id)).toContain('[redacted] 0')
  expect(worker.stderr()).toMatch(/DEBUG/)
})

test('a token replaced in its file is used after SIGHUP, also for reports of running tasks', async () => {
  const tokens = 'old/worker=rotated:old-token,new/worker=rotated:new-token,me:secret'
  const {fleet, worker} = await configured(
    (path) => {
      writeFileSync(join(path, 'token'), 'old-token\n', {mode: 0o600})
      return {codebases: repositories(path, ['a', 'b']), auth_token_file: 'token', worker_id: 'rotated'}
    },
    {A2A_AUTH_TOKENS: tokens},
  )
  const {call, task, get} = caller(fleet.url, 'secret')
  const all = async () => (await call('GET', '/v1/opencode/codebases')).body as {id: string; path: string}[]
  const [a, b] = await all()
  const runs = await task(a?.id ?? '', {prompt: '@hang'})
  const reaches = (id: string, status: string) =>
    until(
      async () => (await get(id)).status === status,
      () => `${id} to be ${status}:\n${worker.stderr()}`,
    )
  await reaches(runs.id, 'running')

  writeFileSync(join(fleet.path, 'token'), 'new-token\n')
  await reload(worker, 'Settings reloaded: the token in auth_token_file')
  await until(() => worker.stderr().split('Task stream connected').length === 3, 'the stream to be reopened')
  await fleet.killPlane()
  fleet.env['A2A_AUTH_TOKENS'] = tokens.slice(tokens.indexOf('new'))
  await fleet.restartPlane()
  await call('POST', `/v1/opencode/tasks/${runs.id}/cancel`)
  await reaches(runs.id, 'cancelled')
  await reaches((await task(b?.id ?? '')).id, 'completed')
  expect(worker.stderr()).not.toMatch(/HTTP 40[13]/)
})
