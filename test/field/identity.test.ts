import {cpSync, existsSync, readFileSync, readdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {answering} from '../support/agent-lines.ts'
import {stop, type Running} from '../support/cli.ts'
import {startFleet, type FleetOptions} from '../support/fleet.ts'
import {asHost, otherHostProblem, type Host} from '../support/other-host.ts'
import {caller, startPlane} from '../support/plane.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {openWorkshop, says} from '../support/workshop.ts'

const noOtherHost = otherHostProblem()
const machineA = 'a'.repeat(32)
const machineB = 'b'.repeat(32)

/** A control plane whose workers run their prompt as a shell script, each on a host of its own. */
async function startHosts(options: FleetOptions = {}) {
  const fleet = await startFleet({...options, env: {OPENCODE_BIN_PATH: stubBinary, ...options.env}})
  const tree = repository(join(fleet.path, 'p'))
  const states = new Map<string, string>()
  return {
    ...fleet,
    tree,
    /** Starts a worker and waits until its stream is open. */
    async startOn(host: Host, {state = join(fleet.path, 'state'), args = [] as string[]} = {}) {
      states.set(host.name, state)
      const running = fleet.startAs(['start', '--codebase', tree, ...args], {
        env: {...fleet.env, A2A_STATE_DIR: state},
        by: asHost(fleet.path, host),
      })
      await says(running, 'Task stream connected')
      return running
    },
    workers: async () =>
      (await fleet.http.call('GET', '/v1/opencode/workers')).body as {
        worker_id: string
        hostname: string
        name: string
      }[],
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]()
    },
  }
}

const idOf = (running: Running) => /ID: ([\w-]+)\) with/.exec(running.stderr())?.[1] ?? ''

test.skipIf(noOtherHost)(
  'a copied state directory on another machine gets a new worker id, and the runs of the original go on undisturbed',
  async () => {
    await using at = await startHosts()
    const original = await at.startOn({name: 'alpha', machineId: machineA}, {args: ['--name', 'w']})
    const {id} = await at.http.task(await at.codebaseId(at.tree), {
      prompt: `echo run >> runs; while [ ! -e go ]; do sleep 0.05; done; ${answering('done')}`,
    })
    await until(() => existsSync(join(at.tree, 'runs')), 'the agent to begin')
    const copied = join(at.path, 'copy')
    cpSync(join(at.path, 'state'), copied, {recursive: true, filter: (path) => !path.endsWith('.sock')})

    const copy = await at.startOn({name: 'beta', machineId: machineB}, {state: copied, args: ['--name', 'w']})
    const notices = copy.stderr().match(/.*state directory is a copy.*/g) ?? []
    expect(notices).toHaveLength(1)
    expect(notices[0]).toContain(`it belongs to worker ${idOf(original)} on alpha`)
    expect(notices[0]).toContain(`This worker has the new id ${idOf(copy)}`)
    expect(idOf(copy)).not.toBe(idOf(original))
    expect((await at.workers()).map(({worker_id}) => worker_id).toSorted()).toEqual(
      [idOf(original), idOf(copy)].toSorted(),
    )
    writeFileSync(join(at.tree, 'go'), '')
    expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, worker_id: idOf(original)})
    expect(readFileSync(join(at.tree, 'runs'), 'utf8')).toBe('run\n')
    expect(original.stderr()).not.toMatch(/Falling back|stream lost/)

    await stop(copy, 'SIGKILL')
    const again = await at.startOn({name: 'beta', machineId: machineB}, {state: copied, args: ['--name', 'w']})
    expect(idOf(again)).toBe(idOf(copy))
    expect(again.stderr()).not.toContain('is a copy')
  },
)

test.skipIf(noOtherHost)(
  'a renamed host takes up its only worker again: same id, one worker listed, the finished report delivered',
  async () => {
    await using at = await startHosts({
      tokens: [
        {name: 'admin', scope: 'admin', token: 'admin'},
        {name: 'w', scope: 'worker', token: 'bound'},
      ],
      env: {A2A_AUTH_TOKEN: 'bound'},
    })
    const before = await at.startOn({name: 'alpha'})
    const {id} = await at.http.task(await at.codebaseId(at.tree), {
      prompt: `echo run >> runs; sleep 1; ${answering('done')}`,
    })
    await until(() => existsSync(join(at.tree, 'runs')), 'the agent to begin')
    await stop(before, 'SIGKILL')

    const after = await at.startOn({name: 'omega'})
    expect(idOf(after)).toBe(idOf(before))
    expect(await at.ended(id)).toMatchObject({status: 'completed', attempt: 1, result: 'done'})
    expect(readFileSync(join(at.tree, 'runs'), 'utf8')).toBe('run\n')
    expect(await at.workers()).toMatchObject([{worker_id: idOf(before), hostname: 'omega'}])
    expect(readdirSync(join(at.path, 'state/workers'))).toEqual(['alpha'])
  },
)

test.skipIf(noOtherHost)(
  'a copied state directory with another host name is told too, and a default name of a running worker is left to it',
  async () => {
    await using at = await startHosts()
    const original = await at.startOn({name: 'alpha', machineId: machineA})
    const second = await at.startOn({name: 'beta', machineId: machineA})
    expect(idOf(second)).not.toBe(idOf(original))
    const copied = join(at.path, 'copy')
    cpSync(join(at.path, 'state/workers/alpha'), join(copied, 'workers/alpha'), {
      recursive: true,
      filter: (path) => !path.endsWith('.sock'),
    })
    const copy = await at.startOn({name: 'gamma', machineId: machineB}, {state: copied})
    expect(copy.stderr()).toContain(`The state directory is a copy: it belongs to worker ${idOf(original)} on alpha.`)
    expect([idOf(original), idOf(second)]).not.toContain(idOf(copy))
  },
)

test.skipIf(noOtherHost)(
  'two processes with one worker id: the one that answers stays, the other exits with 75 and a message that names both hosts',
  async () => {
    await using at = await startHosts()
    const args = ['--worker-id', 'same']
    const first = await at.startOn({name: 'alpha'}, {args})
    const second = at.startAs(['start', '--codebase', at.tree, ...args], {
      env: {...at.env, A2A_STATE_DIR: join(at.path, 'second')},
      by: asHost(at.path, {name: 'beta'}),
    })
    const {code, stderr} = await second.finished
    expect(code).toBe(75)
    expect(stderr).toMatch(/Worker id same is in use: a process on alpha, connected since .*, answers to it/)
    expect(stderr).toContain('The process on beta cannot use it too')
    expect(stderr).toContain('--worker-id')
    expect(first.stderr()).not.toMatch(/Falling back|stream lost/)

    await stop(first, 'SIGKILL')
    const next = await at.startOn({name: 'beta'}, {state: join(at.path, 'second'), args})
    expect(next.stderr()).not.toContain('is in use')
  },
)

test('a worker whose stream is half open does not answer, so its next process is let in; the frozen one then takes no tasks', async () => {
  await using plane = await startPlane({timings: {instanceCheckMs: 500}})
  await using workshop = openWorkshop({OPENCODE_BIN_PATH: stubBinary})
  const tree = repository(join(workshop.path, 'p'))
  const args = (name: string) => [
    'start',
    '--server',
    plane.url,
    '--codebase',
    tree,
    '--worker-id',
    'same',
    '--name',
    name,
  ]
  const frozen = workshop.start(args('a'))
  await says(frozen, 'Task stream connected')
  frozen.process.kill('SIGSTOP')
  const next = workshop.start(args('b'))
  await says(next, 'Task stream connected')
  frozen.process.kill('SIGCONT')
  await says(frozen, /takes no tasks: Worker id same is in use/)
  const status = await workshop.cli(['status', '--name', 'a', '--server', plane.url])
  expect(status.code).toBe(1)
  expect(status.stdout).toContain('Worker id same is in use')

  const call = caller(plane.url)
  const codebases = (await call.call('GET', '/v1/opencode/codebases')).body as {id: string}[]
  const {id} = await call.task(codebases[0]?.id ?? '', {prompt: answering('done')})
  await until(async () => (await call.get(id)).status === 'completed', 'the task to complete')
  expect(next.stderr()).toContain(id.slice(0, 8))

  await stop(next, 'SIGKILL')
  await says(frozen, 'The worker takes tasks again')
})

test('two workers with one id on one machine, for two servers, leave the agents of each other alone', async () => {
  await using first = await startPlane()
  await using second = await startPlane()
  await using workshop = openWorkshop({OPENCODE_BIN_PATH: stubBinary})
  const trees = ['p', 'q'].map((name) => repository(join(workshop.path, name)))
  const start = (url: string, tree: string, state: string) =>
    workshop.start(['start', '--server', url, '--codebase', tree, '--worker-id', 'same', '--name', 'w'], {
      env: {...workshop.env, A2A_STATE_DIR: join(workshop.path, state)},
    })
  const one = start(first.url, trees[0] ?? '', 'state1')
  await says(one, 'Task stream connected')
  const codebases = (await first.call('GET', '/v1/opencode/codebases')).body as {id: string}[]
  const {id} = await first.task(codebases[0]?.id ?? '', {
    prompt: `echo run >> runs; while [ ! -e go ]; do sleep 0.05; done; ${answering('done')}`,
  })
  await until(() => existsSync(join(workshop.path, 'p/runs')), 'the agent to begin')
  const two = start(second.url, trees[1] ?? '', 'state2')
  await says(two, 'Task stream connected')
  expect(two.stderr()).not.toContain('Ending processes of an unknown run')
  writeFileSync(join(workshop.path, 'p/go'), '')
  await until(async () => (await first.get(id)).status === 'completed', 'the task to complete')
  expect((await first.get(id)).attempt).toBe(1)
})

test('a codebase passes to a worker on the same machine, or of an existing worker to its namesake, and to nobody else', async () => {
  await using plane = await startPlane({
    tokens: [
      {name: 'admin', scope: 'admin', token: 'admin'},
      {name: 'one', scope: 'worker', token: 'one'},
      {name: 'two', scope: 'worker', token: 'two'},
    ],
  })
  const admin = caller(plane.url, 'admin')
  let n = 0
  /** Registers a worker and its codebase. Resolves with the id of the codebase; the worker then unregisters. */
  const visit = async (path: string, about: Record<string, unknown>, token = 'admin') => {
    const call = caller(plane.url, token)
    const worker = `w${(n += 1)}`
    const features = ['lease', 'fetch', 'decline']
    const id = await call.codebase(worker, path, {name: 'raspberrypi', hostname: 'raspberrypi', features, ...about})
    await call.call('POST', `/v1/opencode/workers/${worker}/unregister`)
    return id
  }

  const first = await visit('/same/machine', {machine_id: 'm1'})
  const {id} = await admin.task(first)
  expect(await visit('/same/machine', {machine_id: 'm1', name: 'renamed', hostname: 'renamed'})).toBe(first)
  expect(await visit('/same/machine', {machine_id: 'm2'})).not.toBe(first)
  expect(await visit('/same/machine', {machine_id: null})).not.toBe(first)
  expect(await visit('/same/machine', {machine_id: 'm1'}, 'one')).not.toBe(first)
  expect((await admin.get(id)).codebase_id).toBe(first)

  const python = await visit('/python', {features: []})
  expect(await visit('/python', {features: []})).toBe(python)
  expect(await visit('/python', {features: [], hostname: 'other'})).not.toBe(python)
  expect(await visit('/python', {features: [], machine_id: 'm1'}, 'two')).not.toBe(python)
})

test('the codebase of an existing worker passes on as soon as its stream has ended, although it did not unregister', async () => {
  await using plane = await startPlane()
  const about = {name: 'pi', hostname: 'pi', features: []}
  const first = await plane.codebase('p1', '/x', about)
  expect(await plane.codebase('p2', '/x', about)).toBe(first)
  const ours = {...about, features: ['lease'], machine_id: 'm1'}
  const held = await plane.codebase('l1', '/y', ours)
  expect(await plane.codebase('l2', '/y', ours)).not.toBe(held)
})

test('workers forget removes a dead worker, frees its token and requeues its tasks; a live one is refused', async () => {
  const tokens = [
    {name: 'admin', scope: 'admin' as const, token: 'admin'},
    {name: 'w', scope: 'worker' as const, token: 'worker'},
  ]
  await using plane = await startPlane({tokens, timings: {leaseMs: 1500}})
  await using workshop = openWorkshop({A2A_AUTH_TOKEN: 'admin'})
  const worker = caller(plane.url, 'worker')
  const admin = caller(plane.url, 'admin')
  const codebase = await worker.codebase('old', '/x')
  const {id} = await admin.task(codebase)
  expect((await worker.claim('old', id)).status).toBe(200)
  expect((await worker.call('POST', '/v1/opencode/workers/register', {worker_id: 'new', name: 'new'})).status).toBe(403)

  const forget = () => workshop.cli(['workers', 'forget', 'old', '--server', plane.url])
  const early = await forget()
  expect(early.code).toBe(1)
  expect(early.stderr).toContain('Worker old (old) is alive')
  const done = await until(async () => {
    const now = await forget()
    return now.code === 0 ? now : undefined
  }, 'the worker to count as dead')
  expect(done.stdout).toContain('Forgot worker old. Tasks returned to the queue: 1.')
  expect(await admin.get(id)).toMatchObject({status: 'pending', attempt: 2})
  expect((await admin.call('GET', '/v1/monitor/workers')).body.workers).toEqual([])
  expect((await worker.call('POST', '/v1/opencode/workers/register', {worker_id: 'new', name: 'new'})).status).toBe(200)
  expect((await forget()).stderr).toContain('Worker old not found')
})
