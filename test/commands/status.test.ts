import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {StatusReport} from '../../src/commands/status.ts'
import {stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'

type Fleet = Awaited<ReturnType<typeof startFleet>>

async function report(fleet: Fleet): Promise<{code: number | null; report: StatusReport}> {
  const {code, stdout} = await fleet.cli(['status', '--json'])
  return {code, report: JSON.parse(stdout) as StatusReport}
}

test('status is healthy with a worker connected, degraded without, unreachable without a server', async () => {
  await using fleet = await startFleet({isPlaneProcess: true})
  const path = repository(join(fleet.path, 'p'))
  expect(await report(fleet)).toMatchObject({code: 1, report: {state: 'degraded', local: [], workers: []}})
  expect(await fleet.cli(['status'])).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/No worker runs on this machine[^]*degraded \(no worker is connected; start one/),
  })
  const worker = await fleet.worker('w', [path])
  const codebase = await fleet.codebaseId(path)
  const {id} = await fleet.http.task(codebase, {prompt: '@hang', title: 'Hanging'})
  await fleet.http.task(codebase, {prompt: 'waits'})
  await until(async () => (await fleet.http.get(id)).session_id, 'the task to run')
  const {code, stdout} = await fleet.cli(['status'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^worker +w \(\S+\), pid \d+, running\nconnection +stream to http.*\nslots +1 of 2 in use\n/)
  expect(stdout).toContain(`  ${codebase}  ${path}  (p)\n`)
  expect(stdout).toMatch(new RegExp(`  ${id}  running for \\d+ s  Hanging(  \\(.*, \\d+ s\\))?\n`))
  expect(stdout).toMatch(/: healthy\nqueue +1 pending, 1 running\n[^]*\S+ +w +connected +\d+ s +1 +0 +1 /)
  expect(await report(fleet)).toMatchObject({
    code: 0,
    report: {state: 'healthy', error: null, local: [{name: 'w'}], queue: {pending: 1, running: 1}},
  })
  await fleet.killPlane()
  expect(await fleet.cli(['status'])).toMatchObject({
    code: 69,
    stdout: expect.stringMatching(/^worker +w [^]*: unreachable \(.*nothing listens there/),
  })
  expect(await report(fleet)).toMatchObject({code: 69, report: {state: 'unreachable', local: [{name: 'w'}]}})
  await stop(worker, 'SIGKILL')
})

test('a worker that only polls counts as connected; a stopped worker does not', async () => {
  await using fleet = await startFleet()
  const call = (method: string, path: string, body?: unknown) => fleet.http.call(method, `/v1/opencode${path}`, body)
  await call('POST', '/workers/register', {worker_id: 'poller', name: 'poller'})
  await call('POST', '/workers/poller/heartbeat')
  expect(await report(fleet)).toMatchObject({code: 0, report: {workers: [{connected: false, status: 'active'}]}})
  await call('POST', '/workers/poller/unregister')
  expect(await report(fleet)).toMatchObject({code: 1, report: {state: 'degraded'}})
})
