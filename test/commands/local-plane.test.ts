import {once} from 'node:events'
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {connect, createServer, type AddressInfo} from 'node:net'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {LocalControlPlane} from '../../src/lib/config/local-control-plane.ts'
import {startPlane} from '../support/plane.ts'
import {repository} from '../support/scratch.ts'
import {stop, type Running} from '../support/cli.ts'
import {assertRunning, openWorkshop, says, type Workshop} from '../support/workshop.ts'

/** A program that listens on a port, keeps what it is sent, and refuses each request like a server that wants a login. */
async function startStranger(port: number) {
  let received = ''
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
      const body = '{"detail":"Invalid token"}'
      socket.write(`HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`)
      socket.write(body)
    })
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return {
    received: () => received,
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => void (await new Promise((resolve) => server.close(resolve))),
  }
}

const readAddress = ({path}: Workshop, state = 'state') =>
  JSON.parse(readFileSync(join(path, state, 'local.json'), 'utf8')) as LocalControlPlane

/** A worker without configuration, whose agent is a stub. */
async function startLocal(shop: Workshop, name: string): Promise<{tree: string; worker: Running}> {
  const tree = repository(join(shop.path, name))
  const worker = shop.start(['start'], {cwd: tree})
  await says(worker, 'Task stream connected')
  return {tree, worker}
}

const commands = [
  ['tasks', 'list'],
  ['tasks', 'create', 'hello'],
  ['workers', 'list'],
  ['codebases', 'list'],
  ['status'],
]

test('a program on the port of the ended local control plane never gets the token, and commands say how to start again', async () => {
  await using shop = openWorkshop()
  const {tree, worker} = await startLocal(shop, 'p')
  const {port, token} = readAddress(shop)
  await stop(worker)
  await using stranger = await startStranger(port)
  for (const args of commands) {
    const {code, stdout, stderr} = await shop.cli(args, {cwd: tree})
    expect(code, args.join(' ')).toBe(69)
    expect(stdout + stderr).toContain('the control plane of this machine has ended, and another program uses its port')
    expect(stdout + stderr).toMatch(/→ .*run `a2a-worker start` in the directory of a project/)
    expect(stdout + stderr).not.toMatch(/A2A_AUTH_TOKEN|iptables/)
  }

  const doctor = await shop.cli(['doctor'], {cwd: tree})
  expect(doctor.stdout).toMatch(/✗ server: .*another program uses its port\.\n +→ .*`a2a-worker start`/)
  expect(doctor.stdout).not.toMatch(/iptables|A2A_AUTH_TOKEN/)
  expect(stranger.received()).toContain('HEAD /v1/local/proof?nonce=')
  expect(stranger.received()).not.toContain(token)
  expect(stranger.received().toLowerCase()).not.toContain('authorization')
})

test('without anyone on its port, commands say that the local control plane has ended and how to start it', async () => {
  await using shop = openWorkshop()
  const {tree, worker} = await startLocal(shop, 'p')
  await stop(worker)
  const {code, stderr} = await shop.cli(['tasks', 'list'], {cwd: tree})
  expect(code).toBe(69)
  expect(stderr).toMatch(
    /^Error: Cannot list tasks: http:.*: the control plane of this machine has ended, and nothing listens.*connection refused/,
  )
  expect(stderr).toMatch(/→ It ends with the last worker of this machine.*a2a-worker start/)
  const doctor = await shop.cli(['doctor'], {cwd: tree})
  expect(doctor.stdout).not.toMatch(/iptables|curl/)
})

test('the remaining worker moves the control plane to a free port if a program took its port, and keeps the token secret', async () => {
  await using shop = openWorkshop()
  const first = await startLocal(shop, 'a')
  const second = await startLocal(shop, 'b')
  const before = readAddress(shop)
  await stop(first.worker, 'SIGKILL')
  await using stranger = await startStranger(before.port)
  await says(second.worker, 'Took over the control plane')
  const after = readAddress(shop)
  expect(after.port).not.toBe(before.port)
  expect(after.token).toBe(before.token)
  const done = await shop.cli(['tasks', 'create', '@lines=1', '--wait'], {cwd: second.tree})
  expect(done).toMatchObject({code: 0, stdout: 'line 0\n'})
  assertRunning(second.worker)
  const status = JSON.parse((await shop.cli(['status', '--json'])).stdout) as {state: string; local: {server: string}[]}
  expect(status).toMatchObject({state: 'healthy', server: after.url, local: [{server: after.url}]})
  expect(stranger.received()).not.toContain(before.token)
})

test('a program that passes the challenge on to the control plane at another port proves nothing', async () => {
  await using shop = openWorkshop()
  const {tree} = await startLocal(shop, 'p')
  const {port, token} = readAddress(shop)
  let passed = ''
  const relay = createServer((from) => {
    const to = connect(port, '127.0.0.1')
    for (const socket of [from, to]) socket.on('error', () => {})
    from.on('data', (chunk) => (passed += chunk.toString('latin1')))
    from.pipe(to).pipe(from)
  })
  await once(relay.listen(0, '127.0.0.1'), 'listening')
  const {port: other} = relay.address() as AddressInfo
  mkdirSync(join(shop.path, 'other'), {mode: 0o700})
  const address = {url: `http://127.0.0.1:${other}`, port: other, token}
  writeFileSync(join(shop.path, 'other/local.json'), JSON.stringify(address), {mode: 0o600})
  const list = () =>
    shop.cli(['tasks', 'list'], {cwd: tree, env: {...shop.env, A2A_STATE_DIR: join(shop.path, 'other')}})
  expect(await list()).toMatchObject({code: 69, stderr: expect.stringContaining('another program uses its port')})
  expect(passed).toContain('/v1/local/proof')
  expect(passed).not.toContain(token)
  writeFileSync(join(shop.path, 'other/local.json'), JSON.stringify({...address, port}), {mode: 0o600})
  expect(await list()).toMatchObject({code: 0})
  relay.close()
})

test('another control plane on that port is used if it is named, without the local token', async () => {
  await using shop = openWorkshop()
  const {tree, worker} = await startLocal(shop, 'p')
  const {port, url, token} = readAddress(shop)
  await stop(worker)
  await using plane = await startPlane({port, tokens: [{name: 'me', scope: 'admin', token: 'sesame-sesame'}]})
  expect(plane.url).toBe(url)
  const list = (env: Record<string, string>) =>
    shop.cli(['tasks', 'list', '--server', url], {cwd: tree, env: {...shop.env, ...env}})
  expect(await list({A2A_AUTH_TOKEN: 'sesame-sesame'})).toMatchObject({code: 0})
  const refused = await list({})
  expect(refused).toMatchObject({code: 77, stderr: expect.stringContaining('Missing Bearer token')})
  expect(refused.stderr).not.toContain(token)
})

test('status names the file with the token of the local control plane', async () => {
  await using shop = openWorkshop()
  await startLocal(shop, 'p')
  const file = join(shop.path, 'state/local.json')
  const {code, stdout} = await shop.cli(['status'])
  expect(stdout).toContain(`${readAddress(shop).url}: healthy\nqueue   0 pending, 0 running\ntoken   in ${file}\n\n`)
  expect(code).toBe(0)
  expect(JSON.parse((await shop.cli(['status', '--json'])).stdout)).toMatchObject({token_file: file, state: 'healthy'})
})
