import {chmodSync, copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, statSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import type {StatusReport} from '../../src/commands/status.ts'
import {envLine} from '../../src/lib/service/env-file.ts'
import type {Finished} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {openCode, processesOf, startModel} from '../support/opencode-fleet.ts'
import {bootProblem, bootSystemd, insideProgram, type PrivateSystemd} from '../support/private-systemd/boot.ts'
import {repository, until} from '../support/scratch.ts'

const problem = bootProblem()
if (problem !== undefined) process.stderr.write(`SKIPPED: the service under a real systemd; ${problem}.\n`)

const unit = 'a2a-agent-worker'
/** A path that needs every kind of quoting that a unit file has. */
const codebase = '/home/dev/my app: 100%'
const look = 'ls -A /home/dev; touch /home/dev/x /etc/x /opt/x; echo kept >/tmp/kept; id -un; pwd\n'
const agentProgram = '/home/dev/.opencode/bin/opencode'

describe.skipIf(problem !== undefined)('the service under a real systemd', () => {
  let systemd: PrivateSystemd
  let model: Awaited<ReturnType<typeof startModel>>
  let fleet: Awaited<ReturnType<typeof startFleet>>

  beforeAll(async () => {
    ;[systemd, model, fleet] = await Promise.all([bootSystemd(), startModel(), startFleet()])
    repository(systemd.outside(codebase), {'look.sh': look})
    chmodSync(systemd.outside('/home/dev'), 0o700)
    place(openCode, systemd.outside(agentProgram))
    mkdirSync(systemd.outside('/etc/a2a-worker'))
    const env = Object.entries(model.env).map(([name, value]) => envLine(name, value))
    writeFileSync(systemd.outside('/etc/a2a-worker/env'), `${env.join('\n')}\n`)
    const config = {drain_timeout: 1, cancel_grace: 1, opencode_bin: agentProgram}
    writeFileSync(systemd.outside('/etc/a2a-worker/config.json'), JSON.stringify(config))
    const dropIn = systemd.outside(`/etc/systemd/system/${unit}.service.d/test.conf`)
    mkdirSync(dirname(dropIn), {recursive: true})
    writeFileSync(dropIn, '[Service]\nWatchdogSec=3\nRestartSec=1\n')
  })
  afterAll(async () => {
    await systemd[Symbol.asyncDispose]()
    await fleet[Symbol.asyncDispose]()
    await model[Symbol.asyncDispose]()
  })

  const program = (...args: string[]) => systemd.run([...insideProgram, ...args])
  const install = (...args: string[]) => program('install-service', ...args)
  const systemctl = async (...args: string[]) => (await systemd.run(['systemctl', ...args])).stdout.trim()
  const property = (name: string) => systemctl('show', '--value', `--property=${name}`, unit)
  const read = (path: string) => readFileSync(systemd.outside(path), 'utf8')
  const whenStarted = (before: string) =>
    until(async () => {
      const [state, pid] = await Promise.all([property('ActiveState'), property('MainPID')])
      return state === 'active' && pid !== before && pid
    }, 'the next worker')
  const codebaseId = (path: string) => until(() => fleet.codebaseId(path), `${path} to be registered`)
  /** A task whose agent does not end by itself. */
  const hang = async () => {
    const asked = model.requests.length
    const {id} = await fleet.http.task(await codebaseId(codebase), {prompt: '[fake:hang]'})
    await until(() => model.requests.slice(asked).some(({step}) => step === 'hang'), 'the agent to be at work')
    return id
  }

  test('it is installed, is ready, and its unit says which server it works for', async () => {
    const done = await install('--server', fleet.url, '--codebase', `app:${codebase}`, '--start')
    expect(done).toMatchObject({code: 0, stdout: expect.stringContaining(`${unit} runs.`)})
    expect(done.stdout).toContain(`Warning: the user a2a-worker may not write in ${codebase}; let it: setfacl`)
    expect(await property('ActiveState')).toBe('active')
    await until(async () => (await property('StatusText')) === '0 tasks run; tasks come by stream', 'the status')
    const shown = await systemd.run(['sh', '-c', `systemctl cat ${unit} | grep A2A_SERVER_URL`])
    expect(shown.stdout).toBe(`Environment=A2A_SERVER_URL=${fleet.url}\n`)
    expect(await systemctl('is-enabled', unit)).toBe('enabled')
    const rights = ['config.json', 'env'].map((name) => statSync(systemd.outside(`/etc/a2a-worker/${name}`)))
    expect(rights.map(({mode}) => mode & 0o777)).toEqual([0o600, 0o600])
    expect(rights.map(({uid}) => uid === 0)).toEqual([false, true])
  })

  test('a second installation changes nothing and says so', async () => {
    expect((await install('--start')).stdout).toMatch(/^a2a-agent-worker is installed as it should be; nothing was/)
    expect(await property('NRestarts')).toBe('0')
  })

  test('the real OpenCode works in the sandbox: in its codebase, and nowhere else', async () => {
    const owner = statSync(systemd.outside('/etc/a2a-worker/config.json'))
    await systemd.run(['chown', '-R', `${owner.uid}:${owner.gid}`, codebase])
    const {id} = await fleet.http.task(await codebaseId(codebase), {
      prompt: `[fake:edit path=made.txt text="hi\\n"] [fake:bash cmd="sh look.sh"] [fake:text say=done]`,
    })
    expect(await fleet.ended(id)).toMatchObject({status: 'completed', result: 'done', error: null})
    expect(read(join(codebase, 'made.txt'))).toBe('hi\n')
    const output = await fleet.output(id)
    expect(output).toMatch(/\.opencode\\nmy app: 100%\\n/)
    for (const path of ['/etc/x', '/opt/x']) expect(output).toContain(`cannot touch '${path}': Read-only file system`)
    expect(output).toMatch(new RegExp(`\\\\na2a-worker\\\\n${codebase}`))
    expect(existsSync(systemd.outside('/home/dev/x'))).toBe(false)
    expect(read('/var/lib/a2a-worker/tmp/kept')).toBe('kept\n')
  })

  test('status finds it, for root and for members of its group, and tells others that it is there', async () => {
    const {gid} = statSync(systemd.outside('/etc/a2a-worker/config.json'))
    const as = (groups: string) => ['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', ...groups.split(' ')]
    const status = async (by: string[], ...args: string[]) =>
      systemd.run([...by, ...insideProgram, 'status', ...args], {HOME: by.length === 0 ? '/root' : '/nowhere'})
    const found = {state: 'healthy', server: fleet.url, local: [{isService: true, phase: 'running'}]}
    for (const by of [[], as(`--groups ${gid}`)]) expect(parsed(await status(by, '--json'))).toMatchObject(found)
    expect((await status(as('--clear-groups'))).stdout).toContain('There are services of this machine')
  })

  test('its watchdog is told that it lives', async () => {
    const before = await property('WatchdogTimestampMonotonic')
    await until(async () => (await property('WatchdogTimestampMonotonic')) !== before, 'a sign of life')
  })

  test('a change is taken over by a running worker, which is replaced while its agent goes on', async () => {
    const before = await property('MainPID')
    const id = await hang()
    const [agent = ''] = processesOf(id)
    const second = '/home/dev/second'
    repository(systemd.outside(second))
    const installing = install('--codebase', second, '--start')
    await until(async () => (await property('SubState')) === 'auto-restart', 'the worker to leave')
    expect(processesOf(id)).toContain(agent)
    expect((await installing).stdout).toContain(`${unit} runs.`)
    await whenStarted(before)
    await codebaseId(second)
    await settle(id)
  })

  test('kill -9 of the worker leaves the agent alive, and the unit starts again', async () => {
    const before = await property('MainPID')
    const id = await hang()
    const [agent = ''] = processesOf(id)
    await systemd.run(['kill', '-KILL', before])
    await until(async () => (await property('SubState')) === 'auto-restart', 'the worker to be gone')
    expect(processesOf(id)).toContain(agent)
    await whenStarted(before)
    expect(await property('NRestarts')).not.toBe('0')
    await settle(id)
  })

  test('a stop lets the drain have its time and leaves nothing of the agent', async () => {
    const id = await hang()
    expect(processesOf(id)).not.toEqual([])
    await systemctl('stop', unit)
    await until(() => processesOf(id).length === 0, 'the agent to end', 2000)
    expect(await property('ActiveState')).toBe('inactive')
    expect(await property('Result')).toBe('success')
  })

  test('uninstalling takes back what was installed, and keeps configuration and state', async () => {
    const done = await program('uninstall-service')
    expect(done).toMatchObject({code: 0, stdout: expect.stringContaining('Kept: /etc/a2a-worker/config.json')})
    expect(await property('LoadState')).toBe('not-found')
    expect(await systemctl('list-units', '--plain', '--no-legend', 'a2a-*')).toBe('')
    const gone = ['/opt/a2a-worker', '/run/a2a-worker', '/etc/sysusers.d/a2a-worker.conf']
    expect((await systemd.run(['ls', ...gone])).stdout).toBe('')
    for (const path of ['/etc/a2a-worker/env', '/var/lib/a2a-worker/workers'])
      expect(existsSync(systemd.outside(path))).toBe(true)
    expect((await program('uninstall-service')).stdout).toBe(
      'a2a-agent-worker is not installed; nothing was changed.\n',
    )
  })

  test('a Python worker is replaced and its settings are taken over, and the way back that is told is one', async () => {
    await startPythonWorker()
    const {code, stdout, stderr} = await install('--start')
    expect({code, stderr}).toEqual({code: 0, stderr: ''})
    expect(await property('ExecMainStatus')).toBe('0')
    expect(read('/etc/a2a-worker/env')).toMatch(/\nA2A_WORKER_NAME=box\nA2A_POLL_INTERVAL=7\n$/)
    await until(async () => (await fleet.cli(['workers', 'list'])).stdout.includes(' box '), 'the worker of that name')
    const back = /The way back: (.*)/.exec(stdout)?.[1]?.replace('a2a-worker', insideProgram.join(' ')) ?? ''
    expect((await systemd.run(['sh', '-c', back])).code).toBe(0)
    expect(await systemctl('show', '--value', '--property=ActiveState,ExecStart', unit)).toMatch(
      /worker\.py[^]*\nactive$/,
    )
  })

  test("a Python worker's unit is not ours to uninstall; purging takes configuration, state and user", async () => {
    expect(await program('uninstall-service', '--purge')).toMatchObject({
      code: 73,
      stderr: expect.stringContaining(`${unit}.service was not written by a2a-worker`),
    })
    await systemctl('disable', '--now', unit)
    await systemd.run(['rm', `/etc/systemd/system/${unit}.service`])
    expect((await program('uninstall-service', '--purge')).code).toBe(0)
    const left = await systemd.run(['sh', '-c', 'ls -d /etc/a2a-worker /var/lib/a2a-worker; id -u a2a-worker'])
    expect(left.stdout).toBe('')
  })

  async function startPythonWorker(): Promise<void> {
    const python = systemd.outside('/opt/a2a-worker/venv/bin/python')
    mkdirSync(dirname(python), {recursive: true})
    writeFileSync(python, '#!/bin/sh\nexec sleep infinity\n', {mode: 0o755})
    writeFileSync(systemd.outside(`/etc/systemd/system/${unit}.service`), pythonUnit(fleet.url))
    await systemctl('daemon-reload')
    await systemctl('enable', '--now', unit)
    expect(await property('ActiveState')).toBe('active')
  }

  /** However the next worker sees to a run that it finds, it comes to an end. */
  async function settle(id: string): Promise<void> {
    await fleet.cli(['tasks', 'cancel', id])
    await fleet.ended(id)
    await until(() => processesOf(id).length === 0, 'the agent to end')
  }
})

/** What the Python worker's own installation makes, in short. */
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

function parsed({stdout, stderr}: Finished): StatusReport {
  expect(stderr).toBe('')
  return JSON.parse(stdout) as StatusReport
}

/** Puts a program there without copying it, where that can be. */
function place(from: string, to: string): void {
  mkdirSync(dirname(to), {recursive: true})
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
  }
}
