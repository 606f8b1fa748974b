import {chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname} from 'node:path'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {bootProblem, insideProgram} from '../support/private-systemd/boot.ts'
import {
  startPrivateMachine,
  timeoutMs,
  pauseMs,
  reportSkipped,
  unit,
} from '../support/private-systemd/private-machine.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'

const isSkipped = reportSkipped('services of users and the migration under a real systemd', bootProblem())

describe.skipIf(isSkipped)('under a real systemd', {timeout: 2 * timeoutMs}, () => {
  let place: Awaited<ReturnType<typeof startPrivateMachine>>

  beforeAll(async () => {
    place = await startPrivateMachine()
  })
  afterAll(() => place[Symbol.asyncDispose]())

  const asDev = () => {
    const env = {HOME: '/home/dev', USER: 'dev', XDG_RUNTIME_DIR: '/run/user/1234'}
    return place.as(['setpriv', '--reuid', 'dev', '--regid', 'dev', '--clear-groups'], env)
  }

  test('a user can install a service without root, and is warned that it ends at logout', async () => {
    await startUserManager()
    const dev = asDev()
    const refused = await dev.program('install-service', '--server', place.fleet.url)
    expect(refused).toMatchObject({code: 77, stderr: expect.stringContaining('or give --user')})
    const user = ['install-service', '--user', '--server', place.fleet.url]
    const {code, stdout, stderr} = await dev.program(...user, '--codebase', '/home/dev', '--start')
    expect({code, stderr}).toEqual({code: 0, stderr: ''})
    expect(stdout).toContain('Warning: the service ends when you log out, unless you run: loginctl enable-linger dev.')
    await dev.started('')
    expect(await dev.property('StatusText')).toMatch(/^0 tasks run/)
    expect((await dev.program('status', '--server', place.fleet.url)).stdout).toMatch(
      /^worker .* running\n[^]*\nruns {8}each run has a control group/,
    )
    const before = await dev.property('MainPID')
    await place.systemd.run(['kill', '-KILL', before])
    await dev.started(before)
    expect((await dev.program('uninstall-service', '--user')).code).toBe(0)
    expect(await dev.property('LoadState')).toBe('not-found')
  })

  test('a worker of a login session gives each run a scope in the systemd of its user, if that one lingers', async () => {
    repository(place.systemd.outside('/home/dev/p'))
    copyFileSync(stubBinary, place.systemd.outside('/home/dev/agent'))
    chmodSync(place.systemd.outside('/home/dev/agent'), 0o755)
    await place.systemd.run(['chown', '-R', 'dev:dev', '/home/dev/p', '/home/dev/agent'])
    const words = ['start', '--server', place.fleet.url, '--name', 'login', '--codebase', '/home/dev/p']
    const env = {
      HOME: '/home/dev',
      XDG_RUNTIME_DIR: '/run/user/1234',
      OPENCODE_BIN_PATH: '/home/dev/agent',
      A2A_GLOBAL_CODEBASE: 'none',
    }
    const by = ['setpriv', '--reuid', 'dev', '--regid', 'dev', '--init-groups']
    const status = () => place.systemd.run([...by, ...insideProgram, 'status'], env)
    const started = place.systemd.run([...by, ...insideProgram, ...words], env)
    await until(
      async () => (await status()).stdout.includes('one that sheds all of that is left'),
      'a worker',
      timeoutMs,
      pauseMs,
    )
    await place.systemd.run(['pkill', '-QUIT', '-f', '^a2a-worker login'])
    await started
    mkdirSync(place.systemd.outside('/var/lib/systemd/linger'), {recursive: true})
    writeFileSync(place.systemd.outside('/var/lib/systemd/linger/dev'), '')
    const next = place.systemd.run([...by, ...insideProgram, ...words], env)
    await until(
      async () => (await status()).stdout.includes('each run has a control group'),
      'the next worker',
      timeoutMs,
      pauseMs,
    )
    const stray = '(cd / && env -i setsid /bin/sh -c "/bin/sleep 98763 & exit" </dev/null >/dev/null 2>&1)'
    // the child of the shell is a copy of it for a moment, before it is `sleep`
    const prompt = `${printing(stepStart())}${stray}\ntail -1 /proc/self/cgroup >group\nuntil pgrep -fx "/bin/sleep 98763" >stray; do sleep 0.05; done\n${answering('done')}`
    const {id} = await place.fleet.http.task(await place.codebaseId('/home/dev/p'), {prompt})
    expect(await place.fleet.ended(id)).toMatchObject({status: 'completed', result: 'done'})
    const said = (name: string) => readFileSync(place.systemd.outside(`/home/dev/p/${name}`), 'utf8')
    expect(said('group')).toMatch(/\/a2a-[0-9a-f]{8}-[0-9a-f]{16}\.scope\n$/)
    expect(said('stray')).toMatch(/^\d+\n$/)
    expect((await place.systemd.run(['pgrep', '-fx', '/bin/sleep 98763'])).stdout).toBe('')
    await place.systemd.run(['pkill', '-QUIT', '-f', '^a2a-worker login'])
    await next
  })

  test('a Python worker is replaced with its settings, and the printed rollback command works', async () => {
    await startPythonWorker()
    const {code, stdout, stderr} = await place.program('install-service', '--start')
    expect({code, stderr}).toEqual({code: 0, stderr: ''})
    expect(await place.property('ExecMainStatus')).toBe('0')
    const env = readFileSync(place.systemd.outside('/etc/a2a-worker/env'), 'utf8')
    expect(env).toMatch(/\nA2A_WORKER_NAME=box\nA2A_POLL_INTERVAL=7\n$/)
    await until(
      async () => (await place.fleet.cli(['workers', 'list'])).stdout.includes(' box '),
      'the worker of that name',
      timeoutMs,
      pauseMs,
    )
    const back = /To restore it: (.*)/.exec(stdout)?.[1]?.replace('a2a-worker', insideProgram.join(' ')) ?? ''
    expect((await place.systemd.run(['sh', '-c', back])).code).toBe(0)
    expect(await place.systemctl('show', '--value', '--property=ActiveState,ExecStart', unit)).toMatch(
      /worker\.py[^]*\nactive$/,
    )
  })

  test("uninstall refuses a Python worker's unit; --purge removes configuration, state and user", async () => {
    expect(await place.program('uninstall-service', '--purge')).toMatchObject({
      code: 73,
      stderr: expect.stringContaining(`${unit}.service was not written by a2a-worker`),
    })
    await place.systemctl('disable', '--now', unit)
    await place.systemd.run(['rm', `/etc/systemd/system/${unit}.service`])
    expect((await place.program('uninstall-service', '--purge')).code).toBe(0)
    const left = await place.systemd.run(['sh', '-c', 'ls -d /etc/a2a-worker /var/lib/a2a-worker; id -u a2a-worker'])
    expect(left.stdout).toBe('')
  })

  /** The Python worker as its own installer leaves it. */
  async function startPythonWorker(): Promise<void> {
    await place.systemd.run(['useradd', '--system', '--home-dir', '/opt/a2a-worker', 'a2a-worker'])
    const python = place.systemd.outside('/opt/a2a-worker/venv/bin/python')
    mkdirSync(dirname(python), {recursive: true})
    writeFileSync(python, '#!/bin/sh\nexec sleep infinity\n', {mode: 0o755})
    writeFileSync(place.systemd.outside(`/etc/systemd/system/${unit}.service`), pythonUnit(place.fleet.url))
    await place.systemctl('daemon-reload')
    await place.systemctl('enable', '--now', unit)
    expect(await place.property('ActiveState')).toBe('active')
  }

  /** The parts of a user login that systemd needs. */
  async function startUserManager(): Promise<void> {
    await place.systemd.run(['useradd', '--create-home', '--uid', '1234', 'dev'])
    writeFileSync(place.systemd.outside('/etc/systemd/system/user-manager.service'), userManager)
    await place.systemctl('daemon-reload')
    // By the bus of the system, that manager asks for processes of a login session.
    await place.systemctl('start', 'dbus.socket', 'dbus.service')
    await place.systemctl('start', 'user-manager')
  }
})

const userManager = `[Service]
Type=notify
User=dev
Delegate=yes
Environment=XDG_RUNTIME_DIR=/run/user/1234 DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere
ExecStartPre=+install -d -o dev -g dev -m 700 /run/user/1234
ExecStart=/lib/systemd/systemd --user
`

/** A short version of the unit that the Python worker's installer writes. */
const pythonUnit = (url: string) => `[Service]
User=a2a-worker
Environment=A2A_SERVER_URL=${url}
Environment="A2A_WORKER_NAME=box" A2A_POLL_INTERVAL=7
EnvironmentFile=-/etc/a2a-worker/env
ExecStart=/opt/a2a-worker/venv/bin/python /opt/a2a-worker/worker.py --config /etc/a2a-worker/config.json
Restart=always

[Install]
WantedBy=multi-user.target
`
