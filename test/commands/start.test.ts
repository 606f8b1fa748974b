import {hostname} from 'node:os'
import {mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {stop} from '../support/cli.ts'
import {repository, until} from '../support/scratch.ts'
import {openWorkshop, says, type Workshop} from '../support/workshop.ts'

const connected = 'Task stream connected'

async function startIn(shop: Workshop, cwd: string, args: string[] = []) {
  const worker = shop.start(['start', ...args], {cwd})
  await says(worker, connected)
  return worker
}

const codebases = async (shop: Workshop) => {
  const {stdout} = await shop.cli(['codebases', 'list', '--json'])
  return JSON.parse(stdout) as {id: string; name: string; path: string; worker_id: string}[]
}

test('after register in a second project start needs no server, serves both projects, and says so', async () => {
  await using shop = openWorkshop()
  const [first = '', second = ''] = ['first', 'second'].map((name) => repository(join(shop.path, name)))
  const worker = await startIn(shop, first)
  expect((await shop.cli(['register'], {cwd: second})).code).toBe(0)
  const ids = await codebases(shop)
  await stop(worker)
  const again = await startIn(shop, first)
  expect(again.stderr()).toContain(`Serving ${first} and the registered codebase second.`)
  expect(await codebases(shop)).toEqual(ids)
})

test('the worker of this machine keeps its id and its codebases, whatever the directory is and whatever it serves', async () => {
  await using shop = openWorkshop()
  const [first = '', second = ''] = ['first', 'second'].map((name) => repository(join(shop.path, name)))
  const worker = await startIn(shop, first)
  expect(worker.stderr()).toContain(`${hostname()}-local`)
  const [{id, worker_id} = {id: '', worker_id: ''}] = await codebases(shop)
  await stop(worker)
  await stop(await startIn(shop, second))
  expect(await shop.cli(['register', second])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(
      `No worker runs on this machine now: the next \`a2a-worker start\` serves ${second}.`,
    ),
  })
  const back = await startIn(shop, first)
  const found = await codebases(shop)
  expect(found.find(({path}) => path === first)).toMatchObject({id, worker_id})
  expect(new Set(found.map((one) => one.worker_id))).toEqual(new Set([worker_id]))
  const created = await shop.cli(['tasks', 'create', '@lines=1', '--wait'], {cwd: first})
  expect(created).toMatchObject({code: 0, stdout: 'line 0\n'})
  await stop(back)
})

test('a task that waits for a project runs once a worker serves its path, under another id too', async () => {
  await using shop = openWorkshop()
  const [first = '', second = ''] = ['first', 'second'].map((name) => repository(join(shop.path, name)))
  const one = await startIn(shop, first)
  const two = await startIn(shop, second)
  expect(two.stderr()).toMatch(/Worker .*-local \(pid \d+\) runs here already; this worker serves only .*second\./)
  await stop(two)
  const {stdout} = await shop.cli(['tasks', 'create', '@lines=1'], {cwd: second})
  await stop(one)
  const third = await startIn(shop, second)
  await says(third, /completed/)
  const shown = async () => JSON.parse((await shop.cli(['tasks', 'get', stdout.trim(), '--json'])).stdout)
  await until(async () => (await shown()).status === 'completed', 'the report')
})

test('a second start in the same project says that a worker runs there: exit 75', async () => {
  await using shop = openWorkshop()
  const project = repository(join(shop.path, 'project'))
  await startIn(shop, project)
  expect(await shop.cli(['start'], {cwd: project})).toMatchObject({
    code: 75,
    stderr: expect.stringMatching(/A worker named '.*-local' runs already: pid \d+/),
  })
})

test('root, home, what contains it, and the state directory are never served, but registered projects are', async () => {
  await using shop = openWorkshop()
  const home = join(shop.path, 'home')
  mkdirSync(join(shop.path, 'state/deep'), {recursive: true})
  for (const cwd of ['/', home, shop.path, join(shop.path, 'state/deep')])
    expect(await shop.cli(['start'], {cwd})).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/Not serving .* as a codebase: it .*[^]*--codebase PATH/),
    })
  const project = repository(join(shop.path, 'project'))
  const folder = join(home, '.config/a2a-worker')
  mkdirSync(folder, {recursive: true})
  writeFileSync(join(folder, 'config.json'), JSON.stringify({codebases: [{name: 'project', path: project}]}))
  const worker = await startIn(shop, home)
  expect(worker.stderr()).toContain(
    `Serving the registered codebase project. Not serving ${home} as a codebase: it contains the home directory.`,
  )
  expect((await codebases(shop)).map(({path}) => path)).toEqual([project])
})

test('codebases given by flag are served alone, and a directory inside a registered project is that project', async () => {
  await using shop = openWorkshop()
  const [first = '', second = ''] = ['first', 'second'].map((name) => repository(join(shop.path, name)))
  const worker = await startIn(shop, first, ['--codebase', second])
  expect((await codebases(shop)).map(({path}) => path)).toEqual([second])
  expect((await shop.cli(['register', first])).code).toBe(0)
  await stop(worker)
  const inside = join(first, 'src')
  mkdirSync(inside)
  const again = await startIn(shop, inside)
  expect(again.stderr()).toContain('Serving the registered codebase first.')
})

test('a service, and a file given with --config, must name a server: exit 78', async () => {
  await using shop = openWorkshop()
  const project = repository(join(shop.path, 'project'))
  const file = join(shop.path, 'given.json')
  writeFileSync(file, '{}')
  const service = {...shop.env, NOTIFY_SOCKET: join(shop.path, 'notify')}
  for (const [args, env, text] of [
    [['start', '--config', file], shop.env, /given\.json has no server_url/],
    [['start'], service, /This worker is a service, and no server was given/],
  ] as const)
    expect(await shop.cli([...args], {cwd: project, env})).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(text),
    })
})

test('start --once takes one task, although others wait', async () => {
  await using shop = openWorkshop()
  const [first = '', second = ''] = ['first', 'second'].map((name) => repository(join(shop.path, name)))
  const keeper = await startIn(shop, first)
  const args = ['--name', 'once', '--codebase', second, '--once']
  expect((await shop.cli(['register', second, '--name', 'once'])).code).toBe(0)
  const ids: string[] = []
  for (let n = 0; n < 3; n++)
    ids.push((await shop.cli(['tasks', 'create', '@lines=1', '--codebase', second])).stdout.trim())
  const worker = shop.start(['start', '--local', ...args], {cwd: second})
  await until(() => worker.process.exitCode !== null, 'the worker to end')
  expect(worker.process.exitCode).toBe(0)
  const {stdout} = await shop.cli(['tasks', 'list', '--json'])
  const tasks = JSON.parse(stdout) as {id: string; status: string}[]
  expect(tasks.filter(({status}) => status === 'completed').map(({id}) => id)).toEqual([ids[0]])
  await stop(keeper)
})
