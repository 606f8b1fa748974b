import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {findLocalWorkers} from '../../src/lib/control/local-workers.ts'
import {sendRequest} from '../../src/lib/control/socket-client.ts'
import type {Running} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {processesOf} from '../support/opencode-fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {says} from '../support/workshop.ts'

/** A worker with a running agent that does not end by itself. */
async function atWork(env: Record<string, string> = {}) {
  const fleet = await startFleet({env})
  onTestFinished(() => fleet[Symbol.asyncDispose]())
  const path = repository(join(fleet.path, 'p'))
  const worker = await fleet.worker('w', [path])
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@hang'})
  await says(worker, 'Session ses_stub')
  onTestFinished(() => {
    for (const pid of processesOf(id)) process.kill(Number(pid), 'SIGKILL')
  })
  return {fleet, path, worker, id}
}

/** Expects that the worker exited with 0, its agent continues, and the server still shows the task as its own. */
async function expectLeft({fleet, worker, id}: Awaited<ReturnType<typeof atWork>>) {
  expect((await worker.finished).code).toBe(0)
  expect(worker.stderr()).toContain('Leaving 1 task to the next start')
  expect(processesOf(id)).toHaveLength(1)
  expect((await fleet.http.get(id)).status).toBe('running')
  expect((await fleet.http.call('GET', '/v1/opencode/workers')).body).toHaveLength(1)
}

const isDraining = (worker: Running) => says(worker, 'Worker is draining')

test('at SIGQUIT the worker exits at once, its agent continues, and the next start adopts it', async () => {
  const work = await atWork()
  work.worker.process.kill('SIGQUIT')
  await expectLeft(work)
  const next = await work.fleet.worker('w', [work.path])
  expect(next.stderr()).toContain('Going on with a run whose agent is at work')
})

test('a request to detach over the socket does the same', async () => {
  const work = await atWork()
  const [local] = await findLocalWorkers(work.fleet.env, work.fleet.env['A2A_STATE_DIR'] ?? '', 'w')
  expect(await sendRequest(local?.socket ?? '', {op: 'detach'})).toEqual({value: undefined})
  await expectLeft(work)
})

test('a draining worker can still be asked to exit at once', async () => {
  const work = await atWork()
  work.worker.process.kill('SIGTERM')
  await isDraining(work.worker)
  work.worker.process.kill('SIGQUIT')
  await expectLeft(work)
})

test('under a service manager the drain has a time limit, then the worker exits and its agents continue', async () => {
  const work = await atWork({NOTIFY_SOCKET: '/nowhere', A2A_DRAIN_TIMEOUT: '1'})
  work.worker.process.kill('SIGTERM')
  await expectLeft(work)
  expect(work.worker.stderr()).toMatch(/Tasks still run after 1 s \(drain_timeout\); leaving them running/)
})

test('under a service manager a second SIGTERM shortens the drain and ends no agent', async () => {
  const work = await atWork({NOTIFY_SOCKET: '/nowhere'})
  work.worker.process.kill('SIGTERM')
  await isDraining(work.worker)
  work.worker.process.kill('SIGTERM')
  await expectLeft(work)
})

test('a worker without tasks exits when it is asked to detach', async () => {
  await using fleet = await startFleet()
  const worker = await fleet.worker('w', [repository(join(fleet.path, 'p'))])
  worker.process.kill('SIGQUIT')
  expect((await worker.finished).code).toBe(0)
  await until(() => worker.stderr().includes('no task is active'), 'the last line')
})
