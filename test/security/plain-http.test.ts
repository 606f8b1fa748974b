import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {isPrivateHost} from '../../src/lib/core/loopback.ts'
import {startForwardProxy} from '../support/forward-proxy.ts'
import {startPlane} from '../support/plane.ts'
import {repository} from '../support/scratch.ts'
import {openWorkshop, says, type Workshop} from '../support/workshop.ts'

/** An address of the documentation. No test connects to it: all go through a proxy on loopback. */
const server = 'http://192.0.2.7:7420'
const refusal = /192\.0\.2\.7:7420 is a public address without encryption[^]*--insecure/
const warning = 'is not encrypted: others on the network can read token, prompts and output'
const token = {A2A_AUTH_TOKEN: 'token-of-the-test'}

const configFile = (shop: Workshop) => join(shop.path, 'home/.config/a2a-worker/config.json')
function configure(shop: Workshop, content: object): void {
  mkdirSync(dirname(configFile(shop)), {recursive: true})
  writeFileSync(configFile(shop), JSON.stringify(content), {mode: 0o600})
}

/** Where the public address leads to: a control plane on loopback, through a proxy for which all addresses are loopback. */
async function world() {
  const plane = await startPlane()
  const proxy = await startForwardProxy()
  const shop = openWorkshop({...token, HTTP_PROXY: proxy.url})
  return {
    shop,
    server: `http://192.0.2.7:${new URL(plane.url).port}`,
    async [Symbol.asyncDispose]() {
      await shop[Symbol.asyncDispose]()
      await proxy[Symbol.asyncDispose]()
      await plane.close()
    },
  }
}

test('hosts are private if the Internet does not route them, or by their names', () => {
  for (const host of [
    '127.0.0.1',
    '[::1]',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.1.1',
    '100.64.0.1',
  ])
    expect(isPrivateHost(host), host).toBe(true)
  for (const host of [
    '[fd00::1]',
    '[fe80::1]',
    '[::ffff:10.0.0.1]',
    'plane',
    'plane.local',
    'plane.internal.',
    'PLANE.LOCAL',
    'localhost',
  ])
    expect(isPrivateHost(host), host).toBe(true)
  for (const host of [
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '11.0.0.1',
    '[2001:db8::1]',
    '[::ffff:8.8.8.8]',
    'plane.example',
    'local.example',
    '192.169.0.1',
  ])
    expect(isPrivateHost(host), host).toBe(false)
})

test.each([
  ['a client with flags', ['tasks', 'list', '--server', server]],
  ['a worker', ['start', '--server', server, '--codebase', '.']],
  ['the registration of a codebase', ['register', '.', '--server', server]],
  ['the configuration', ['config', 'set', 'server_url', server]],
  ['a service', ['install-service', '--user', '--dry-run', '--server', server, '--codebase', '.']],
])('a new set-up sends no token to a public address without encryption: %s, exit 78', async (_name, args) => {
  await using shop = openWorkshop({...token, XDG_RUNTIME_DIR: '/nowhere'})
  repository(join(shop.path, 'p'))
  const run = () => shop.cli(args, {cwd: join(shop.path, 'p')})
  expect(await run()).toMatchObject({
    code: 78,
    stdout: expect.not.stringContaining('Wrote'),
    stderr: expect.stringMatching(refusal),
  })
  expect(await run(), 'again: nothing was written that makes it an existing set-up').toMatchObject({code: 78})
})

test('--insecure, or the setting, allows it, and an existing configuration goes on with a warning', async () => {
  await using shop = openWorkshop({...token, NO_PROXY: '', HTTP_PROXY: 'http://127.0.0.1:9'})
  const list = (args: string[] = [], env: Record<string, string> = {}) =>
    shop.cli(['tasks', 'list', ...args], {env: {...shop.env, ...env}})
  const goesOn = {code: 69, stderr: expect.stringContaining(warning)} // as far as the proxy, which is none
  expect(await list(['--server', server, '--insecure'])).toMatchObject(goesOn)
  expect(await list(['--server', server], {A2A_INSECURE: 'true'})).toMatchObject(goesOn)
  expect(await list([], {A2A_SERVER_URL: server})).toMatchObject({code: 78, stderr: expect.stringMatching(refusal)})
  expect(await list(['--server', 'http://10.1.2.3:7420'])).toMatchObject(goesOn)
  expect(await list(['--server', 'https://192.0.2.7'])).toMatchObject({
    code: 69,
    stderr: expect.not.stringContaining(warning),
  })
  expect(await list(['--server', server], {A2A_AUTH_TOKEN: ''}), 'no token, no refusal').toMatchObject({code: 69})

  expect(await shop.cli(['config', 'set', 'server_url', server, '--insecure'])).toMatchObject({code: 0})
  expect(JSON.parse(readFileSync(configFile(shop), 'utf8'))).toEqual({server_url: server})
  expect(await list()).toMatchObject(goesOn)
  expect(await shop.cli(['config', 'set', 'server_url', server])).toMatchObject({code: 0})
  expect(await shop.cli(['config', 'set', 'server_url', 'http://192.0.2.8'])).toMatchObject({code: 78})
})

test('a worker that worked for a server before goes on after an update, with one warning', async () => {
  await using at = await world()
  const {shop, server} = at
  const path = repository(join(shop.path, 'p'))
  const args = ['start', '--server', server, '--codebase', path, '--no-dashboard']
  const first = shop.start([...args, '--insecure'])
  await says(first, 'Task stream connected')
  first.process.kill('SIGTERM')
  expect((await first.finished).stderr.split(warning).length - 1).toBe(1)
  const second = shop.start(args)
  await says(second, 'Task stream connected')
  expect(second.stderr().split(warning).length - 1).toBe(1)
})

test('a worker with a configuration file that names a public address warns, and never exits for it', async () => {
  await using at = await world()
  configure(at.shop, {server_url: at.server, codebases: [repository(join(at.shop.path, 'p'))]})
  const worker = at.shop.start(['start', '--no-dashboard'])
  await says(worker, 'Task stream connected')
  expect(worker.stderr().split(warning).length - 1).toBe(1)
})
