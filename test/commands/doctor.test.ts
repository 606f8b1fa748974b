import {chmodSync, existsSync, mkdirSync, writeFileSync} from 'node:fs'
import {createServer} from 'node:http'
import {once} from 'node:events'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import {startFleet} from '../support/fleet.ts'
import {subjectToPermissions} from '../support/permissions.ts'
import {caller, startPlane} from '../support/plane.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {repository, until} from '../support/scratch.ts'
import {openWorkshop, type Workshop} from '../support/workshop.ts'

type Finding = {check: string; state: string; text: string; fixes: string[]}

/** The problems that doctor reports as JSON. Checks that the exit code matches. */
async function runDoctor(shop: Pick<Workshop, 'cli'>, args: string[], options: Parameters<Workshop['cli']>[1] = {}) {
  const {code, stdout} = await shop.cli(['doctor', '--json', ...args], options)
  const {findings} = JSON.parse(stdout) as {findings: Finding[]}
  const problems = findings.filter(({state}) => state === 'problem')
  expect(code).toBe(problems.length > 0 ? 1 : 0)
  for (const {fixes, text} of problems) expect(fixes.length, text).toBeGreaterThan(0)
  return findings.filter(({state}) => state === 'problem' || state === 'warning')
}

const finding = (found: Finding[], check: string) => found.find((one) => one.check === check)

test('with a running worker all checks pass: exit 0, and each check says what it found', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  await fleet.worker('w', [path])
  const {code, stdout} = await fleet.cli(['doctor', '--name', 'w'])
  expect(stdout).toMatch(/✓ OpenCode: 1\.18\.0 at /)
  expect(stdout).toMatch(/✓ worker: w \(pid \d+\), running, stream to http/)
  expect(stdout).toMatch(/✓ server: .* answers/)
  expect(stdout).toMatch(/✓ workers: 1 worker, 1 codebase/)
  expect(stdout).toMatch(/✓ queue: 0 tasks wait/)
  expect(code).toBe(0)
})

test('too little disk space for the state is a problem, because no task is taken', async () => {
  await using plane = await startPlane()
  await using shop = openWorkshop({A2A_MIN_FREE_DISK: String(2 ** 40)})
  expect(finding(await runDoctor(shop, ['--server', plane.url]), 'state')).toMatchObject({
    state: 'problem',
    text: expect.stringMatching(/^only \d+ [MG]iB free for .*\(min_free_disk\) the worker takes no tasks$/),
  })
})

test('no workers: names the cause, and what to start where', async () => {
  await using plane = await startPlane()
  await using shop = openWorkshop()
  const found = await runDoctor(shop, ['--server', plane.url])
  expect(finding(found, 'workers')).toMatchObject({
    text: expect.stringMatching(/has no workers.*No workers available/),
    fixes: [expect.stringMatching(/systemctl start/), expect.stringMatching(/A2A_SERVER_URL/)],
  })
})

test('empty lists although the worker is registered: the server has lost its state', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const path = repository(join(shop.path, 'p'))
  await shop.worker(server.url, 'w', [path])
  server.workers.clear()
  server.codebases.clear()
  const found = await runDoctor(shop, ['--server', server.url])
  expect(finding(found, 'workers')).toMatchObject({
    text: expect.stringMatching(/does not know the registered worker w.*lost its state/),
    fixes: [expect.stringMatching(/OPENCODE_DB_PATH/), expect.stringMatching(/restart/)],
  })
})

test('changing lists: replicas without shared state', async () => {
  await using one = await startPlane()
  await using two = await startPlane()
  await one.codebase('w', '/srv/a')
  const replicas = [caller(one.url), caller(two.url)]
  let turn = 0
  const balancer = createServer((request, response) => {
    void replicas[turn++ % 2]?.call('GET', request.url ?? '/').then(({status, body}) => {
      response.writeHead(status, {'content-type': 'application/json'}).end(JSON.stringify(body))
    })
  })
  balancer.listen(0, '127.0.0.1')
  await once(balancer, 'listening')
  await using shop = openWorkshop()
  const found = await runDoctor(shop, ['--server', `http://127.0.0.1:${(balancer.address() as AddressInfo).port}`])
  expect(finding(found, 'workers')).toMatchObject({
    text: expect.stringMatching(/change between requests.*replicas without shared state/),
    fixes: [expect.stringMatching(/A2A_REDIS_URL for all replicas/)],
  })
  balancer.close()
  balancer.closeAllConnections()
})

/** A control plane whose clock is ahead, so that new tasks seem to have waited for long. */
async function impatientPlane() {
  let now = Date.now() - 120_000
  const clock = {now: () => now, monotonic: () => performance.now(), sleep: systemClock.sleep}
  const plane = await startPlane({clock})
  return {plane, catchUp: () => (now = Date.now()), [Symbol.asyncDispose]: () => plane.close()}
}

test('a registration stuck in pending is reported with its path and the possible reasons', async () => {
  await using setting = await impatientPlane()
  const {plane} = setting
  await plane.codebase('w', '/srv/a')
  await plane.call('POST', '/v1/opencode/codebases', {name: 'b', path: '/srv/b'})
  setting.catchUp()
  await using shop = openWorkshop()
  const found = await runDoctor(shop, ['--server', plane.url])
  expect(finding(found, 'registration')).toMatchObject({
    text: expect.stringMatching(/registration of \/srv\/b .* stuck in pending: no worker is connected/),
    fixes: expect.arrayContaining([
      expect.stringMatching(/sudo -u a2a-worker ls -la \/srv\/b/),
      expect.stringMatching(/registration_roots/),
    ]),
  })
})

test('waiting tasks are reported once per reason', async () => {
  await using setting = await impatientPlane()
  const {plane} = setting
  const codebase = await plane.codebase('w', '/srv/a')
  for (let i = 0; i < 3; i++) await plane.task(codebase)
  setting.catchUp()
  await using shop = openWorkshop()
  const found = (await runDoctor(shop, ['--server', plane.url])).filter(({check}) => check === 'queue')
  expect(found).toHaveLength(1)
  expect(found[0]).toMatchObject({
    text: expect.stringMatching(/3 tasks are not executed \(first .*\): worker w is offline/),
    fixes: [expect.stringMatching(/Start the worker/)],
  })
})

test('a worker that does not start: problems of its configuration are reported first', async () => {
  await using shop = openWorkshop()
  const config = join(shop.path, 'config.json')
  writeFileSync(config, '{"server_url": "https://plane", "poll_interval": "soon"}')
  expect(finding(await runDoctor(shop, ['--config', config]), 'configuration')).toMatchObject({
    text: expect.stringMatching(/poll_interval .*must be a whole number/),
  })
  expect(finding(await runDoctor(shop, []), 'worker')).toMatchObject({
    text: expect.stringMatching(/no worker runs on this machine|the service a2a-agent-worker is/),
  })
  expect(finding(await runDoctor(shop, []), 'server')).toMatchObject({fixes: [expect.stringMatching(/server_url/)]})
})

test('an unreachable server: unknown name, closed port, wrong token and another program are told apart', async () => {
  await using shop = openWorkshop()
  const name = await runDoctor(shop, ['--server', 'https://no-such-host.invalid'])
  expect(finding(name, 'server')?.text).toMatch(/host name no-such-host\.invalid cannot be resolved/)
  const port = await runDoctor(shop, ['--server', 'http://127.0.0.1:9'])
  expect(finding(port, 'server')).toMatchObject({
    text: expect.stringMatching(/nothing listens there/),
    fixes: expect.arrayContaining([
      expect.stringMatching(/curl -I http:\/\/127\.0\.0\.1:9\/v1\/opencode\/status/),
      expect.stringMatching(/^ss -ltn/),
    ]),
  })
  expect(finding(port, 'server')?.fixes.join()).not.toContain('iptables')
  await using plane = await startPlane({tokens: [{name: 't', token: 'sesame-sesame', scope: 'admin'}]})
  expect(finding(await runDoctor(shop, ['--server', plane.url]), 'token')?.text).toMatch(/Missing Bearer token/)
  const page = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<html></html>'))
  page.listen(0, '127.0.0.1')
  await once(page, 'listening')
  const url = `http://127.0.0.1:${(page.address() as AddressInfo).port}`
  expect(finding(await runDoctor(shop, ['--server', url]), 'server')?.text).toMatch(/HTML page/)
  page.close()
})

test('a missing or broken OpenCode is reported with how to install or configure it', async () => {
  await using shop = openWorkshop()
  expect(finding(await runDoctor(shop, ['--opencode', '/nowhere/opencode']), 'OpenCode')).toMatchObject({
    text: expect.stringMatching(/\/nowhere\/opencode .*is missing or not executable/),
  })
  const broken = join(shop.path, 'opencode')
  writeFileSync(broken, '#!/bin/sh\necho oops >&2; exit 3\n')
  chmodSync(broken, 0o755)
  expect(finding(await runDoctor(shop, ['--opencode', broken]), 'OpenCode')).toMatchObject({
    text: expect.stringMatching(/does not print its version: oops/),
    fixes: expect.arrayContaining([expect.stringMatching(/npm i -g .*opencode-ai/)]),
  })
  const old = join(shop.path, 'old')
  writeFileSync(old, '#!/bin/sh\ncase "$1" in --version) echo 1.0.150;; *) echo --format;; esac\n')
  chmodSync(old, 0o755)
  expect(finding(await runDoctor(shop, ['--opencode', old]), 'OpenCode')).toMatchObject({
    state: 'warning',
    text: expect.stringMatching(/1\.0\.150 is older than 1\.1\.65/),
  })
})

test('a codebase that cannot be registered: the path is missing, is no directory, or is not accessible', async () => {
  await using shop = openWorkshop()
  const path = join(shop.path, 'code')
  mkdirSync(path)
  const config = join(shop.path, 'config.json')
  const codebases = [
    {name: 'code', path},
    {name: 'gone', path: '/nowhere/gone'},
    {name: 'file', path: config},
  ]
  writeFileSync(config, JSON.stringify({server_url: 'http://127.0.0.1:9', codebases}))
  const found = await runDoctor(shop, ['--config', config])
  expect(finding(found, 'codebase gone')?.text).toMatch(/the path does not exist/)
  expect(finding(found, 'codebase file')?.text).toMatch(/not a directory/)
  expect(finding(found, 'codebase code')).toBeUndefined()
  chmodSync(path, 0o000)
  const denied = await runDoctor(shop, ['--config', config], {by: subjectToPermissions})
  expect(finding(denied, 'codebase code')).toMatchObject({
    text: expect.stringMatching(/cannot read and write/),
    fixes: [expect.stringMatching(/setfacl/), expect.stringMatching(/usermod/)],
  })
  chmodSync(path, 0o755)
})

test('a worker connected to another server is reported, with where to change that', async () => {
  await using meant = await startPlane()
  await using other = await startPlane()
  await using shop = openWorkshop()
  await shop.worker(other.url, 'w', [repository(join(shop.path, 'p'))])
  expect(finding(await runDoctor(shop, ['--server', meant.url]), 'worker')).toMatchObject({
    text: expect.stringContaining(`but the configured server is ${meant.url}`),
    fixes: [expect.stringContaining(`A2A_SERVER_URL=${meant.url}`)],
  })
})

test('an unusable broker is only a warning: the worker works without it', async () => {
  await using plane = await startPlane()
  await using shop = openWorkshop()
  const found = await runDoctor(shop, ['--server', plane.url, '--redis-url', 'redis://127.0.0.1:9'])
  expect(finding(found, 'broker')).toMatchObject({state: 'warning', text: expect.stringMatching(/ECONNREFUSED/)})
})

/** An OpenCode that makes the file `asked` and prints its version only once the file `go` is there. */
function waitingOpenCode({path}: Workshop): {program: string; asked: string; go: string} {
  const [program, asked, go] = [join(path, 'opencode'), join(path, 'asked'), join(path, 'go')]
  const wait = `i=0; while [ ! -e ${go} ] && [ $i -lt 400 ]; do i=$((i+1)); sleep 0.05; done`
  writeFileSync(
    program,
    `#!/bin/sh\ntouch ${asked}; ${wait}\ncase "$1" in --version) echo 1.18.0;; *) echo --format;; esac\n`,
  )
  chmodSync(program, 0o755)
  return {program, asked, go}
}

test('the first lines appear at once, while OpenCode is still asked for its version', async () => {
  await using shop = openWorkshop()
  const {program, asked, go} = waitingOpenCode(shop)
  const doctor = shop.start(['doctor', '--opencode', program])
  await until(() => doctor.stdout().includes('server: '), 'the other checks')
  expect(doctor.stdout()).toMatch(/^✓ configuration: [^]*✓ state: /)
  expect(doctor.stdout()).not.toContain('OpenCode: ')
  await until(() => existsSync(asked), 'OpenCode to be asked')
  writeFileSync(go, '')
  expect((await doctor.finished).stdout).toMatch(/✓ OpenCode: 1\.18\.0 at .*\n/)
})

test('the checks run at the same time: a server that answers only after OpenCode was asked is no problem', async () => {
  await using plane = await startPlane()
  await using shop = openWorkshop()
  const {program, asked, go} = waitingOpenCode(shop)
  const server = createServer((request, response) => {
    writeFileSync(go, '')
    void until(() => existsSync(asked), 'OpenCode to be asked')
      .then(() => plane.call('GET', request.url ?? '/'))
      .then(({status, body}) => {
        response.writeHead(status, {'content-type': 'application/json'}).end(JSON.stringify(body))
      })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const found = await runDoctor(shop, ['--server', url, '--opencode', program])
  for (const check of ['OpenCode', 'server', 'token']) expect(finding(found, check)?.state, check).not.toBe('problem')
  server.close()
  server.closeAllConnections()
})
