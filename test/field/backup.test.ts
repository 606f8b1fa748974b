import {copyFileSync, existsSync, readFileSync, rmSync, statSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {startRedis} from '../support/redis.ts'
import {repository, until} from '../support/scratch.ts'
import {openWorkshop} from '../support/workshop.ts'

test('a database is backed up while tasks run, and a restored copy agrees with the worker again', async () => {
  await using fleet = await startFleet({isPlaneProcess: true})
  const trees = ['one', 'two', 'three'].map((name) => repository(join(fleet.path, name)))
  await fleet.worker('w', trees, ['--max-concurrent-tasks', '3'])
  const [one = '', two = '', three = ''] = await Promise.all(trees.map((tree) => fleet.codebaseId(tree)))
  const newTask = async (codebase: string, prompt: string) => (await fleet.http.task(codebase, {prompt})).id
  const statusOf = async (id: string) => (await fleet.http.call('GET', `/v1/opencode/tasks/${id}`)).body.status
  const runs = (id: string) => until(async () => (await statusOf(id)) === 'running', `task ${id} to run`)

  const ended = await newTask(one, '@lines=3')
  await fleet.ended(ended)
  const held = await newTask(two, '@hang')
  await runs(held)
  const [made, again] = await Promise.all([fleet.cli(['backup', '--json']), fleet.cli(['backup'])])
  expect([made.code, again.code]).toEqual([0, 0])
  const {file: copy, bytes} = JSON.parse(made.stdout) as {file: string; bytes: number}
  expect(again.stdout).toBe(`${copy}\n`)
  const {mode, size} = statSync(copy)
  expect([mode & 0o777, size, existsSync(`${copy}.part`)]).toEqual([0o600, bytes, false])

  const late = await newTask(three, '@hang')
  await runs(late)
  await fleet.http.call('POST', `/v1/opencode/tasks/${held}/cancel`)
  await fleet.ended(held)
  expect((await stop(fleet.plane())).code).toBe(0)

  const file = join(dirname(copy), 'server.db')
  copyFileSync(copy, file)
  for (const rest of ['-wal', '-shm']) rmSync(file + rest, {force: true})
  await fleet.restartPlane()

  expect(await fleet.output(ended)).toContain('line 2')
  const agents = () =>
    readFileSync(join(fleet.path, 'agent.log'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as {at: string; pid: number; cwd: string})
      .filter(({at}) => at === 'start')
  const startsIn = (tree: string) => agents().filter(({cwd}) => cwd === tree)
  const isAlive = (pid: number) => existsSync(`/proc/${pid}`)
  await until(() => startsIn(trees[2] ?? '').every(({pid}) => !isAlive(pid)), 'the unknown task to be stopped')
  await until(() => startsIn(trees[1] ?? '').length === 2, 'the task that the copy shows as running to start again')
  await runs(held)
  expect(await fleet.http.call('GET', `/v1/opencode/tasks/${late}`)).toMatchObject({status: 404})
})

test('a control plane whose state is in Redis says that it has no file to back up, and goes on', async () => {
  await using redis = await startRedis()
  await using shop = openWorkshop()
  const plane = shop.start(['serve', '--port', '0', '--redis-url', redis.url])
  const url = await until(() => plane.stdout().trim(), 'the control plane to listen')
  const {code, stderr} = await shop.cli(['backup', '--server', url])
  expect([code, stderr]).toEqual([1, expect.stringContaining('back up the data of Redis')])
  expect((await stop(plane)).code).toBe(0)
})
