import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {StatusReport} from '../../src/commands/status.ts'
import {stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {openWorkshop} from '../support/workshop.ts'

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

test('status calls a missing or wrong token refused and exits 77; without any server it says so and exits 69', async () => {
  await using fleet = await startFleet({tokens: [{name: 't', token: 'sesame-sesame', scope: 'admin'}]})
  for (const token of ['', 'wrong-token']) {
    const env = {...fleet.env, ...(token ? {A2A_AUTH_TOKEN: token} : {})}
    const text = await fleet.run(['status'], {env})
    expect(text.code).toBe(77)
    expect(text.stdout).toMatch(
      /server +http.*: refused \(.*(Missing Bearer|Invalid) token.*\)\n +→ Set the right token: A2A_AUTH_TOKEN/,
    )
    const json = await fleet.run(['status', '--json'], {env})
    expect(json.code).toBe(77)
    expect(JSON.parse(json.stdout)).toMatchObject({state: 'refused', suggestions: [expect.any(String)]})
  }

  await using shop = openWorkshop()
  const {code, stdout} = await shop.cli(['status'])
  expect(code).toBe(69)
  expect(stdout).toMatch(/^no server \(No control plane is configured.*\)\n +→ Start one with `a2a-worker start`/m)
  expect(JSON.parse((await shop.cli(['status', '--json'])).stdout)).toMatchObject({state: 'none', server: null})
})

test('status counts one of a thing in the singular', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  await fleet.worker('w', [path])
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=1'})
  await fleet.ended(id)
  await until(
    async () => (await fleet.cli(['status'])).stdout.includes('; 1 ended task uses '),
    'the disk usage of the ended task',
  )
  expect((await fleet.cli(['doctor', '--name', 'w'])).stdout).toMatch(/workers: 1 worker, 1 codebase\n/)
})
