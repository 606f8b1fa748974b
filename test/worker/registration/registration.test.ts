import {readFileSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFleet} from '../../support/fleet.ts'
import {ReferenceServer} from '../../support/reference-server.ts'
import {repository, scratchFolder, until} from '../../support/scratch.ts'
import {startInProcessWorker} from '../../support/in-process-worker.ts'
import {stop} from '../../support/cli.ts'
import {says} from '../../support/workshop.ts'

type Fleet = Awaited<ReturnType<typeof startFleet>>

/** Requests the registration of a path without a worker, as a UI does. Resolves with the registration task. */
async function ask(fleet: Fleet, name: string, path: string): Promise<string> {
  const answer = await fleet.http.call('POST', '/v1/opencode/codebases', {name, path})
  expect(answer).toMatchObject({status: 200, body: {pending: true}})
  return answer.body.task_id
}

test('a codebase registered from a UI is served at once, and after the next start of its worker', async () => {
  await using fleet = await startFleet()
  const first = repository(join(fleet.path, 'code/first'))
  const second = repository(join(fleet.path, 'code/second'))
  const worker = await fleet.worker('w', [first])
  const id = await ask(fleet, 'second', second)
  const codebase = await fleet.ended(id)
  expect(codebase).toMatchObject({
    status: 'completed',
    result: `Codebase registered successfully with ID: ${await fleet.codebaseId(second)}`,
  })
  await says(worker, `Handling registration task ${id}: second at ${second}`)
  const run = async () => fleet.ended((await fleet.http.task(await fleet.codebaseId(second), {prompt: '@lines=1'})).id)
  expect((await run()).status).toBe('completed')
  await stop(worker)
  await fleet.worker('w', [first])
  expect((await run()).status).toBe('completed')
})

test('a path is registered by the worker that has it, even if another worker is asked first', async () => {
  await using fleet = await startFleet()
  const paths = ['one', 'two'].map((name) => repository(join(fleet.path, name, 'p')))
  await fleet.worker('one', [paths[0] ?? ''])
  await fleet.worker('two', [paths[1] ?? ''])
  const more = repository(join(fleet.path, 'two/more'))
  expect((await fleet.ended(await ask(fleet, 'more', more))).status).toBe('completed')
  const all = (await fleet.http.call('GET', '/v1/opencode/codebases')).body as {path: string; worker_id: string}[]
  const owner = (path: string) => all.find((codebase) => codebase.path === path)?.worker_id
  expect(owner(more)).toBe(owner(paths[1] ?? ''))
})

test('nothing outside of the roots is registered, neither by a link nor by dots, and the answer does not reveal what exists', async () => {
  await using fleet = await startFleet()
  const first = repository(join(fleet.path, 'code/first'))
  const outside = repository(join(fleet.path, 'outside'))
  symlinkSync(outside, join(fleet.path, 'code/link'))
  await fleet.worker('w', [first])
  const refusals: [path: string, why: RegExp][] = [
    [outside, /not allowed/],
    ['/etc', /not allowed/],
    ['/nothing/there', /not allowed/],
    [join(fleet.path, 'code'), /not allowed/],
    [`${fleet.path}/code/../outside`, /not allowed/],
    [join(fleet.path, 'code/link'), /not allowed.*a link that leads elsewhere/],
    [join(fleet.path, 'code/missing'), /does not exist/],
    [join(first, 'README.md'), /does not exist.*not a directory/],
  ]
  for (const [path, why] of refusals)
    expect(await fleet.ended(await ask(fleet, 'x', path)), path).toMatchObject({
      status: 'failed',
      error: expect.stringMatching(why),
    })
  expect(((await fleet.http.call('GET', '/v1/opencode/codebases')).body as unknown[]).length).toBe(1)
})

test('registration_roots defines which paths may be registered', async () => {
  await using fleet = await startFleet({env: {}})
  const first = repository(join(fleet.path, 'code/first'))
  const second = repository(join(fleet.path, 'code/second'))
  const elsewhere = repository(join(fleet.path, 'elsewhere/deep/third'))
  fleet.env['A2A_REGISTRATION_ROOTS'] = join(fleet.path, 'elsewhere')
  await fleet.worker('w', [first])
  expect((await fleet.ended(await ask(fleet, 'third', elsewhere))).status).toBe('completed')
  expect((await fleet.ended(await ask(fleet, 'second', second))).status).toBe('failed')
})

test("a global task runs in the global codebase, which is the home of the worker's user", async () => {
  await using fleet = await startFleet({env: {A2A_GLOBAL_CODEBASE: ''}})
  const path = repository(join(fleet.path, 'p'))
  await fleet.worker('w', [path])
  const [worker] = (await fleet.http.call('GET', '/v1/opencode/workers')).body as {global_codebase_id: string}[]
  expect(worker?.global_codebase_id).toBe(await fleet.codebaseId(join(fleet.path, 'home')))
  const {id} = await fleet.http.task('global', {prompt: '@lines=1'})
  expect((await fleet.ended(id)).status).toBe('completed')
  expect(readFileSync(join(fleet.path, 'agent.log'), 'utf8')).toContain(`"cwd":"${join(fleet.path, 'home')}"`)
})

test('with global_codebase none a worker takes no global tasks', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  await fleet.worker('w', [path])
  const {id} = await fleet.http.task('global', {agent_type: 'echo', prompt: 'x'})
  const own = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=1'})
  await fleet.ended(own.id)
  expect((await fleet.http.get(id)).status).toBe('pending')
})

test('a route that the server does not have is not called again', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  const notFound = {status: 404, type: 'application/json', text: '{"detail":"Not Found"}'}
  server.odd = (call) => (call.path.endsWith('/heartbeat') ? notFound : undefined)
  await using _worker = await startInProcessWorker(server.url, [path], {factor: 200})
  await until(() => server.calls('POST', /workers\/register$/).length >= 4, 'several minutes of the worker')
  expect(server.calls('POST', /heartbeat$/)).toHaveLength(1)
})

test('prod and dev are two workers on one machine, each with its own configuration, id and codebases', async () => {
  await using fleet = await startFleet()
  const workers = ['prod', 'dev'].map((name) => {
    const file = join(fleet.path, `${name}.json`)
    const path = repository(join(fleet.path, name))
    writeFileSync(file, JSON.stringify({server_url: fleet.url, codebases: [{name, path}]}))
    return {name, file, path}
  })
  for (const {name, file} of workers) {
    const process = fleet.start(['start', '--name', `${name}-worker`, '--config', file])
    await says(process, 'Task stream connected')
  }

  const known = (await fleet.http.call('GET', '/v1/monitor/workers')).body.workers as {
    name: string
    codebases: number
  }[]
  expect(known.map(({name, codebases}) => [name, codebases]).sort()).toEqual([
    ['dev-worker', 1],
    ['prod-worker', 1],
  ])
  for (const {path} of workers)
    expect(
      (await fleet.ended((await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=1'})).id)).status,
    ).toBe('completed')
})

test('start says what the codebase global is for and how to turn it off, unless it was chosen', async () => {
  await using fleet = await startFleet({env: {A2A_GLOBAL_CODEBASE: ''}})
  const path = repository(join(fleet.path, 'p'))
  const worker = await fleet.worker('w', [path])
  expect(worker.stderr()).toMatch(
    /INFO +Tasks and sessions without a codebase belong to the codebase global, \/.*\/home\. To turn this off: A2A_GLOBAL_CODEBASE=none/,
  )
  for (const chosen of ['none', path]) {
    const env = {...fleet.env, A2A_GLOBAL_CODEBASE: chosen}
    const other = fleet.startAs(['start', '--name', `w-${chosen === path}`, '--codebase', path], {env})
    await says(other, 'Task stream connected')
    expect(other.stderr()).not.toContain('To turn this off')
  }
})
