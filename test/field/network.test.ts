import {join} from 'node:path'
import {expect, test} from 'vitest'
import {proxyFor} from '../../src/lib/config/proxy.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {makeCertificate} from '../support/certificate.ts'
import {startForwardProxy} from '../support/forward-proxy.ts'
import {startOpenCodeFleet} from '../support/opencode-fleet.ts'
import {startPlane} from '../support/plane.ts'
import {freePort, startRedis} from '../support/redis.ts'
import {repository} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {openWorkshop} from '../support/workshop.ts'

const tokens = [{name: 'me', scope: 'admin' as const, token: 'plane-token'}]
const password = 'pass@word1'
const login = `me:${encodeURIComponent(password)}`

/** The address of a control plane by a name that only the proxy can resolve. */
const behindProxy = (url: string) => url.replace('127.0.0.1', 'plane.internal')

/** A scratch folder whose commands have this token and this environment. */
const openOffice = (env: Record<string, string>) =>
  openWorkshop({A2A_AUTH_TOKEN: 'plane-token', OPENCODE_BIN_PATH: stubBinary, ...env})

test('worker, client and doctor reach a server through a proxy with a login, streams included', async () => {
  await using plane = await startPlane({tokens})
  await using proxy = await startForwardProxy({login})
  await using shop = openOffice({HTTP_PROXY: proxy.url})
  const tree = repository(join(shop.path, 'p'))
  const server = behindProxy(plane.url)
  const worker = await shop.worker(server, 'w', [tree])
  expect(worker.stderr()).toContain('The server is reached through the proxy http://127.0.0.1:')
  const prompt = `${printing(stepStart())}env\n${answering('done')}`
  const ask = (...args: string[]) => shop.cli([...args, '--server', server])
  const created = await ask('tasks', 'create', '--codebase', tree, '--wait', '--follow', prompt)
  expect(created).toMatchObject({code: 0})
  expect(created.stdout).toContain('done')
  const {id} = JSON.parse((await ask('tasks', 'list', '--status', 'completed', '--json')).stdout)[0] as {id: string}
  const output = await ask('tasks', 'output', id, '--raw')
  // The agent has the variables too, and its output leaves the machine.
  expect(output.stdout).toContain(`HTTP_PROXY=http://me:[redacted]@`)
  expect(output.stdout).toMatch(/^NO_PROXY=localhost,127\.0\.0\.1,::1$/m)
  const doctor = await ask('doctor')
  const {host} = new URL(proxy.url)
  expect(doctor).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`✓ proxy: requests go through the proxy http://${host} (HTTP_PROXY)`),
  })
  for (const path of ['/v1/worker/tasks/stream', '/v1/opencode/workers/register', '/health'])
    expect(
      proxy.requests.find((line) => line.includes(`${server}${path}`)),
      path,
    ).toBeDefined()
  const all = [created, output, doctor].flatMap(({stdout, stderr}) => [stdout, stderr])
  for (const text of [...all, worker.stdout(), worker.stderr()])
    expect(text.includes(password) || text.includes(encodeURIComponent(password))).toBe(false)
})

test('worker and client reach an HTTPS server through a tunnel of the proxy', async () => {
  await using shop = openOffice({})
  const {cert, key} = makeCertificate(shop.path, 'plane', {subject: 'DNS:plane.internal'})
  await using plane = await startPlane({tokens, tls: {certFile: cert, keyFile: key}})
  await using proxy = await startForwardProxy({login})
  const server = behindProxy(plane.url)
  Object.assign(shop.env, {https_proxy: proxy.url, NODE_EXTRA_CA_CERTS: cert})
  const tree = repository(join(shop.path, 'p'))
  await shop.worker(server, 'w', [tree])
  const create = ['tasks', 'create', '--codebase', tree, '--wait', '--server', server, answering('done')]
  expect(await shop.cli(create)).toMatchObject({code: 0, stdout: 'done\n'})
  expect(new Set(proxy.requests)).toEqual(new Set([`CONNECT ${new URL(server).host}`]))
})

test('the proxy setting wins over the variables, its password is masked, and none switches proxies off', async () => {
  await using plane = await startPlane({tokens})
  await using proxy = await startForwardProxy({login})
  await using shop = openOffice({HTTP_PROXY: 'http://127.0.0.1:1', NO_PROXY: '*', A2A_PROXY: proxy.url})
  const server = behindProxy(plane.url)
  expect(await shop.cli(['workers', 'list', '--server', server])).toMatchObject({code: 0})
  expect(proxy.requests).toHaveLength(1)
  const shown = (await shop.cli(['config', 'show', '--json'])).stdout
  expect(shown).toContain(`http://me:********@${new URL(proxy.url).host}/`)
  const direct = await shop.cli(['workers', 'list', '--server', server], {env: {...shop.env, A2A_PROXY: 'none'}})
  expect(direct).toMatchObject({code: 69, stderr: expect.stringContaining('the host name')})
  const bad = await shop.cli(['workers', 'list', '--server', server], {env: {...shop.env, A2A_PROXY: 'socks://x'}})
  expect(bad).toMatchObject({
    code: 78,
    stderr: expect.stringContaining('proxy (A2A_PROXY): must be an address like http'),
  })
})

test('loopback is never asked for through a proxy', async () => {
  await using plane = await startPlane()
  await using shop = openOffice({HTTP_PROXY: 'http://127.0.0.1:1', A2A_PROXY: 'http://127.0.0.1:1'})
  for (const host of ['127.0.0.1', 'localhost'])
    expect(await shop.cli(['workers', 'list', '--server', plane.url.replace('127.0.0.1', host)])).toMatchObject({
      code: 0,
    })
})

test.each([
  ['http://127.9.9.9:1', '', undefined],
  ['http://[::1]:1', '', undefined],
  ['http://a.localhost', '', undefined],
  ['http://plane.test', '', 'http://plain:1'],
  ['https://plane.test', '', 'http://secure:1'],
  ['http://plane.test', 'other.test', 'http://plain:1'],
  ['http://plane.test', 'plane.test', undefined],
  ['http://plane.test', ' other.test , *', undefined],
  ['http://api.plane.test', '.plane.test', undefined],
  ['http://api.plane.test', 'plane.test', undefined],
  ['http://plane.test', '*.plane.test', 'http://plain:1'],
  ['http://noplane.test', 'plane.test', 'http://plain:1'],
  ['http://plane.test:8000', 'plane.test:8000', undefined],
  ['http://plane.test:8001', 'plane.test:8000', 'http://plain:1'],
  ['https://plane.test', 'plane.test:443', undefined],
  ['http://10.1.2.3', '10.0.0.0/8', undefined],
  ['http://11.1.2.3', '10.0.0.0/8', 'http://plain:1'],
  ['http://[fd00::1]', 'fd00::/8', undefined],
  ['http://[fd00::1]:80', '[fd00::1]:80', undefined],
])('the proxy for %s with NO_PROXY=%s is %s', (server, noProxy, url) => {
  const env = {HTTP_PROXY: 'http://other:1', http_proxy: 'plain:1', HTTPS_PROXY: 'http://secure:1', NO_PROXY: noProxy}
  expect(proxyFor(server, {setting: undefined, env})?.url).toBe(url)
})

test('a proxy that wants a login, a dead proxy and a dead server behind a proxy are told apart', async () => {
  await using shop = openOffice({})
  await using proxy = await startForwardProxy({login})
  await using open = await startForwardProxy()
  const dead = await freePort()
  const ask = async (scheme: string, url: string) => {
    const env = {...shop.env, A2A_PROXY: url}
    const {code, stdout} = await shop.cli(
      ['workers', 'list', '--json', '--server', `${scheme}://plane.internal:${dead}`],
      {
        env,
      },
    )
    const {error} = JSON.parse(stdout) as {error: {code: string; message: string; suggestions: string[]}}
    return {exit: code, code: error.code, text: [error.message, ...error.suggestions].join(' ')}
  }
  const wrong = proxy.url.replace(login, 'me:wrong')
  for (const scheme of ['http', 'https']) {
    const name = ({url}: {url: string}) => `the proxy http://${new URL(url).host} (the setting proxy)`
    expect(await ask(scheme, wrong)).toMatchObject({
      ...{exit: 69, code: 'PROXY_LOGIN'},
      text: expect.stringContaining(`${name(proxy)} asks for a user name and password (HTTP 407)`),
    })
    expect(await ask(scheme, `http://me:secret-word@127.0.0.1:${dead}`)).toMatchObject({
      ...{exit: 69, code: 'PROXY_UNREACHABLE'},
      text: expect.stringMatching(
        /the proxy http:\/\/127\.0\.0\.1:\d+ \(the setting proxy\) is out of reach: nothing listens there.*NO_PROXY/,
      ),
    })
    const behind = await ask(scheme, open.url)
    expect(behind.text).toMatch(
      scheme === 'https'
        ? /the proxy .* cannot reach the server \(HTTP 502\)/
        : /no route; asked through the proxy .*HTTP 502/,
    )
    expect(behind.code).not.toMatch(/PROXY/)
  }
})

test('the authorities of the system are trusted', async () => {
  await using shop = openOffice({})
  const {cert, key} = makeCertificate(shop.path, 'plane')
  await using plane = await startPlane({tokens, tls: {certFile: cert, keyFile: key}})
  // OpenSSL's name for the file of the system's store.
  const env = {...shop.env, SSL_CERT_FILE: cert, NODE_OPTIONS: ''}
  expect(await shop.cli(['workers', 'list', '--server', plane.url], {env})).toMatchObject({code: 0})
})

test('each certificate error says what is wrong and names NODE_EXTRA_CA_CERTS', async () => {
  await using shop = openOffice({})
  const ask = async (name: string, options: Parameters<typeof makeCertificate>[2], isTrusted: boolean) => {
    const {cert, key} = makeCertificate(shop.path, name, options)
    await using plane = await startPlane({tokens, tls: {certFile: cert, keyFile: key}})
    const env = {...shop.env, NODE_EXTRA_CA_CERTS: isTrusted ? cert : '/dev/null'}
    const found = []
    for (const command of [['workers', 'list'], ['doctor']])
      found.push((await shop.cli([...command, '--server', plane.url], {env})).stdout)
    const {stderr} = await shop.cli(['workers', 'list', '--server', plane.url], {env})
    return {stderr, doctor: found[1]}
  }
  const cases: [name: string, options: Parameters<typeof makeCertificate>[2], isTrusted: boolean, reason: RegExp][] = [
    ['unknown', {}, false, /no authority that this machine trusts has signed its certificate/],
    ['stranger', {subject: 'DNS:stranger.test'}, true, /its certificate is for another host/],
    ['old', {isExpired: true}, true, /its certificate is not valid now \(CERT_HAS_EXPIRED\)/],
  ]
  for (const [name, options, isTrusted, reason] of cases) {
    const {stderr, doctor} = await ask(name, options, isTrusted)
    for (const text of [stderr, doctor]) {
      expect(text).toMatch(reason)
      expect(text).toContain('NODE_EXTRA_CA_CERTS')
    }
  }
})

test('a broker with TLS may have a certificate of the system, and an unknown one is explained', async () => {
  await using shop = openOffice({})
  const {cert, key} = makeCertificate(shop.path, 'broker')
  await using redis = await startRedis({tls: {cert, key}})
  const ask = async (trusted: string) => {
    const env = {...shop.env, A2A_REDIS_URL: redis.url, SSL_CERT_FILE: trusted, NODE_EXTRA_CA_CERTS: '/dev/null'}
    return (await shop.cli(['doctor'], {env})).stdout
  }
  expect(await ask(cert)).toContain('✓ broker: Redis answers')
  expect(await ask('/dev/null')).toMatch(/broker: Redis cannot be used: no authority .*NODE_EXTRA_CA_CERTS/)
})

test('https:// to a server of plain HTTP, and http:// to one of HTTPS, are explained', async () => {
  await using shop = openOffice({})
  const {cert, key} = makeCertificate(shop.path, 'plane')
  await using plain = await startPlane()
  await using secure = await startPlane({tls: {certFile: cert, keyFile: key}})
  const ask = async (server: string) => (await shop.cli(['workers', 'list', '--server', server])).stderr
  expect(await ask(plain.url.replace('http', 'https'))).toContain(
    'it does not speak HTTPS on this port; if it speaks plain HTTP, use http:// in the address',
  )
  expect(await ask(secure.url.replace('https', 'http'))).toContain('if it speaks HTTPS, use https:// in the address')
})

test('OpenCode gets the proxy of its user, but reaches its own server and models on loopback without it', async () => {
  const proxy = `http://127.0.0.1:${await freePort()}`
  await using fleet = await startOpenCodeFleet({HTTP_PROXY: proxy, HTTPS_PROXY: proxy})
  const tree = repository(join(fleet.path, 'p'))
  await fleet.worker('w', [tree])
  const prompt = `[fake:bash cmd="echo proxy=$HTTPS_PROXY"] [fake:text say=done]`
  const {id} = await fleet.http.task(await fleet.codebaseId(tree), {prompt})
  expect(await fleet.ended(id)).toMatchObject({status: 'completed', result: 'done'})
  expect(await fleet.output(id)).toContain(`proxy=${proxy}`)
})
