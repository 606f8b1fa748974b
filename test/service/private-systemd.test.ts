import {chmodSync, copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, statSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {setTimeout} from 'node:timers/promises'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import type {StatusReport} from '../../src/commands/status.ts'
import {isFinal} from '../../src/lib/protocol/schemas.ts'
import {envLine} from '../../src/lib/service/units/env-file.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import type {Finished} from '../support/cli.ts'
import {processesOf} from '../support/opencode-fleet.ts'
import {openCode, startModel} from '../support/scripted-model.ts'
import {bootProblem, insideProgram} from '../support/private-systemd/boot.ts'
import {
  startPrivateMachine,
  timeoutMs,
  pauseMs,
  reportSkipped,
  unit,
} from '../support/private-systemd/private-machine.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'

const isSkipped = reportSkipped('the service under a real systemd', bootProblem())

/** A path that needs every kind of quoting in a unit file. */
const codebase = '/home/dev/my app: 100%'
const second = '/home/dev/second'
const probeScript =
  'ls -A /home/dev; touch /home/dev/x /etc/x /opt/x; echo kept >/tmp/kept; id -un; git rev-parse --show-toplevel\n' +
  'for to in 169.254.169.254 127.0.0.1; do bash -c "echo x >/dev/udp/$to/9" 2>/dev/null && echo "may send to $to"; done\n'
/** Duration of the outage of the control plane. `npm run outage:service` uses ten minutes. */
const outageMs = Number(process.env['OUTAGE_SECONDS'] ?? 2) * 1000
const agentProgram = '/home/dev/.opencode/bin/opencode'
const stubProgram = '/home/dev/.opencode/bin/stub'

describe.skipIf(isSkipped)('the service under a real systemd', {timeout: 2 * timeoutMs}, () => {
  let place: Awaited<ReturnType<typeof startPrivateMachine>>
  let model: Awaited<ReturnType<typeof startModel>>

  beforeAll(async () => {
    ;[place, model] = await Promise.all([startPrivateMachine(), startModel()])
    const {systemd} = place
    repository(systemd.outside(codebase), {'look.sh': probeScript})
    chmodSync(systemd.outside('/home/dev'), 0o700)
    link(openCode, systemd.outside(agentProgram))
    mkdirSync(systemd.outside('/etc/a2a-worker'))
    const env = Object.entries(model.env).map(([name, value]) => envLine(name, value))
    writeFileSync(systemd.outside('/etc/a2a-worker/env'), `${env.join('\n')}\n`)
    const config = {drain_timeout: 1, cancel_grace: 1, opencode_bin: agentProgram}
    writeFileSync(systemd.outside('/etc/a2a-worker/config.json'), JSON.stringify(config))
    const dropIn = systemd.outside(`/etc/systemd/system/${unit}.service.d/test.conf`)
    mkdirSync(dirname(dropIn), {recursive: true})
    writeFileSync(dropIn, '[Service]\nWatchdogSec=8\nRestartSec=1\n')
  })
  afterAll(async () => {
    await place[Symbol.asyncDispose]()
    await model[Symbol.asyncDispose]()
  })

  const read = (path: string) => readFileSync(place.systemd.outside(path), 'utf8')
  const ended = (id: string) =>
    until(
      async () => {
        const task = await place.fleet.http.get(id)
        return isFinal(task.status) && task
      },
      `task ${id} to end`,
      timeoutMs,
    )
  /** Whether systemd can filter addresses here: it needs BPF and the unified hierarchy of control groups. */
  const canFilter = async () => {
    const program = "/bin/bash -c 'echo x > /dev/udp/127.0.0.9/9'"
    const probe = `[Service]\nType=oneshot\nIPAddressDeny=127.0.0.9\nExecStart=${program}\n`
    writeFileSync(place.systemd.outside('/etc/systemd/system/filter-probe.service'), probe)
    await place.systemctl('daemon-reload')
    return (await place.systemd.run(['systemctl', 'start', 'filter-probe'])).code !== 0
  }
  /** A task whose agent waits until `letGo` is called. */
  const startHeldTask = async (name: string, path = codebase, before = '') => {
    const cmd = `${before}touch ${name}.begun; while [ ! -e ${name}.go ]; do sleep 0.05; done`
    const prompt = `${printing(stepStart())}${cmd}\n${answering(name)}`
    const {id} = await place.fleet.http.task(await place.codebaseId(path), {prompt})
    const file = (end: string) => join(place.systemd.outside(path), `${name}.${end}`)
    await until(() => existsSync(file('begun')), 'the agent to be at work', timeoutMs)
    return {id, agent: processesOf(id)[0], letGo: () => writeFileSync(file('go'), '')}
  }

  test('install-service installs it, it becomes ready, and its unit names the server', async () => {
    const done = await place.program(
      'install-service',
      '--server',
      place.fleet.url,
      '--codebase',
      `app:${codebase}`,
      '--start',
    )
    expect(done).toMatchObject({code: 0, stdout: expect.stringContaining(`${unit} runs.`)})
    expect(done.stdout).toContain(`Warning: the user a2a-worker cannot write to ${codebase}; run: setfacl`)
    expect(await place.property('ActiveState')).toBe('active')
    await until(
      async () => (await place.property('StatusText')) === '0 tasks run; connected by stream',
      'the status',
      timeoutMs,
      pauseMs,
    )
    const shown = await place.systemd.run(['sh', '-c', `systemctl cat ${unit} | grep A2A_SERVER_URL`])
    expect(shown.stdout).toBe(`Environment=A2A_SERVER_URL=${place.fleet.url}\n`)
    expect(await place.systemctl('is-enabled', unit)).toBe('enabled')
    const rights = ['config.json', 'env'].map((name) => statSync(place.systemd.outside(`/etc/a2a-worker/${name}`)))
    expect(rights.map(({mode}) => mode & 0o777)).toEqual([0o640, 0o600])
    expect(rights.map(({uid}) => uid)).toEqual([0, 0])
  })

  test('its unit denies the metadata service of clouds, and systemd accepts that', async () => {
    const denied = (await place.property('IPAddressDeny')).split(' ')
    expect(denied.toSorted()).toEqual(['169.254.169.254/32', 'fd00:ec2::254/128'])
  })

  test('a second installation changes nothing and says so', async () => {
    expect((await place.program('install-service', '--start')).stdout).toMatch(
      /^a2a-agent-worker is up to date\. Nothing was/,
    )
    expect(await place.property('NRestarts')).toBe('0')
  })

  test('the real OpenCode works in the sandbox: in its codebase, and nowhere else', async () => {
    // It belongs to root, not to the service's user.
    await place.systemd.run(['chmod', '-R', 'a+rwX', codebase])
    const {id} = await place.fleet.http.task(await place.codebaseId(codebase), {
      prompt: `[fake:edit path=made.txt text="hi\\n"] [fake:bash cmd="sh look.sh"] [fake:text say=done]`,
    })
    expect(await ended(id)).toMatchObject({status: 'completed', result: 'done', error: null})
    expect(read(join(codebase, 'made.txt'))).toBe('hi\n')
    const output = await place.fleet.output(id)
    expect(output).toMatch(/\.opencode\\nmy app: 100%\\n/)
    for (const path of ['/etc/x', '/opt/x']) expect(output).toContain(`cannot touch '${path}': Read-only file system`)
    // OpenCode reads stdout and stderr of a shell in any order.
    for (const line of ['a2a-worker', codebase]) expect(output).toContain(`\\n${line}\\n`)
    expect(existsSync(place.systemd.outside('/home/dev/x'))).toBe(false)
    expect(output).toContain('may send to 127.0.0.1')
    if (await canFilter()) expect(output).not.toContain('may send to 169.254.169.254')
    expect(read('/var/lib/a2a-worker/tmp/kept')).toBe('kept\n')
  })

  test('status finds it for root and for members of its group, and tells others that it exists', async () => {
    const {gid} = statSync(place.systemd.outside('/etc/a2a-worker/config.json'))
    const as = (groups: string) => ['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', ...groups.split(' ')]
    const status = async (by: string[], ...args: string[]) =>
      place.systemd.run([...by, ...insideProgram, 'status', ...args], {HOME: by.length === 0 ? '/root' : '/nowhere'})
    const found = {state: 'healthy', server: place.fleet.url, local: [{isService: true, phase: 'running'}]}
    for (const by of [[], as(`--groups ${gid}`)]) expect(parsed(await status(by, '--json'))).toMatchObject(found)
    expect((await status(as('--clear-groups'))).stdout).toContain('Services run on this machine')
    // The dashboard of a member may not steer; the socket itself refuses.
    const script = `import('/run/repository/dist/lib/control/socket-client.js').then(async ({sendRequest}) => {
      for (const name of ['vm.read.sock', 'vm.sock'])
        await sendRequest('/run/a2a-worker/' + name, {op: 'pause'}).then(() => console.log('paused'), (error) => console.log(error.message))
    })`
    const member = await place.systemd.run([...as(`--groups ${gid}`), insideProgram[0], '-e', script])
    expect(member.stdout).toMatch(/^The worker refused: members of its group may read, not steer.*\n.*EACCES.*\n$/)
    expect(await place.property('StatusText')).not.toContain('paused')
  })

  test('register refuses a codebase that its sandbox hides, and prints the command that opens the sandbox', async () => {
    const {code, stderr} = await place.program('register', '/home/dev/.opencode')
    expect({code, stderr}).toEqual({
      code: 77,
      stderr: expect.stringContaining(
        "sudo a2a-worker install-service --codebase '.opencode:/home/dev/.opencode' --start",
      ),
    })
  })

  test('it notifies the watchdog', async () => {
    const before = await place.property('WatchdogTimestampMonotonic')
    await until(
      async () => (await place.property('WatchdogTimestampMonotonic')) !== before,
      'a sign of life',
      timeoutMs,
      pauseMs,
    )
  })

  // The following tests are about systemd and the worker. Each start of OpenCode would cost seconds of CPU time.
  test('after an installation with another OpenCode program the running worker is replaced', async () => {
    const before = await place.property('MainPID')
    link(stubBinary, place.systemd.outside(stubProgram))
    const {stdout} = await place.program('install-service', '--opencode', stubProgram, '--start')
    expect(stdout).toContain(`${unit} runs.`)
    expect(await place.started(before)).not.toBe(before)
  })

  test('after a change the running worker is replaced while its agent keeps running', async () => {
    const before = await place.property('MainPID')
    const {id, agent, letGo} = await startHeldTask('upgrade')
    repository(place.systemd.outside(second))
    const {stdout} = await place.program('install-service', '--codebase', second, '--start')
    expect(stdout).toContain(`${unit} runs.`)
    expect(await place.started(before)).not.toBe(before)
    expect(processesOf(id)).toContain(agent)
    await place.codebaseId(second)
    letGo()
    expect(await ended(id)).toMatchObject({status: 'completed', result: 'upgrade', attempt: 1})
  })

  test('kill -9 of the worker leaves the agent running; the unit restarts and adopts it', async () => {
    const before = await place.property('MainPID')
    const {id, agent, letGo} = await startHeldTask('crash')
    await place.systemd.run(['kill', '-KILL', before])
    await until(async () => (await place.property('SubState')) === 'auto-restart', 'the worker to be gone', timeoutMs)
    expect(processesOf(id)).toContain(agent)
    await place.started(before)
    expect(await place.property('NRestarts')).not.toBe('0')
    letGo()
    expect(await ended(id)).toMatchObject({status: 'completed', result: 'crash', attempt: 1})
    expect(processesOf(id)).toEqual([])
  })

  test('a process that has shed all signs of its run is ended with it, also after a kill -9 of the worker', async () => {
    const before = await place.property('MainPID')
    const stray = '(cd / && env -i setsid /bin/sh -c "/bin/sleep 98765 & exit" </dev/null >/dev/null 2>&1)\n'
    const {id, letGo} = await startHeldTask('stray', codebase, stray)
    const strays = async () =>
      (await place.systemd.run(['pgrep', '-fx', '/bin/sleep 98765'])).stdout.split('\n').length - 1
    expect(await strays()).toBe(1)
    await place.systemd.run(['kill', '-KILL', before])
    await place.started(before)
    expect(await strays()).toBe(1)
    letGo()
    expect(await ended(id)).toMatchObject({status: 'completed', result: 'stray', attempt: 1})
    expect(await strays()).toBe(0)
    expect((await place.program('status')).stdout).toContain('each run has a control group')
  })

  test('a reload applies a changed file, and running tasks continue under the same worker', async () => {
    const before = await place.property('MainPID')
    const {id, letGo} = await startHeldTask('reload')
    const path = '/etc/a2a-worker/config.json'
    const config = JSON.parse(read(path)) as Record<string, unknown>
    writeFileSync(place.systemd.outside(path), JSON.stringify({...config, redact: ['k.ten']}))
    await place.systemctl('reload', unit)
    await until(async () => (await place.log()).includes('Settings reloaded: redact'), 'the reload', timeoutMs, pauseMs)
    expect(await place.property('MainPID')).toBe(before)
    letGo()
    expect(await ended(id)).toMatchObject({status: 'completed', result: 'reload', attempt: 1})
  })

  test(
    'kill -9 while the control plane is down loses nothing, however long the outage',
    {timeout: outageMs + 3 * timeoutMs},
    async () => {
      const before = await place.property('MainPID')
      await place.systemd.run(['chmod', '-R', 'a+rwX', second])
      const [ends, lasts] = [await startHeldTask('ends'), await startHeldTask('lasts', second)]
      await place.fleet.killPlane()
      await place.systemd.run(['kill', '-KILL', before])
      ends.letGo()
      await until(() => processesOf(ends.id).length === 0, 'the agent to end', timeoutMs)
      await setTimeout(outageMs)
      expect(processesOf(lasts.id)).toContain(lasts.agent)
      await place.fleet.restartPlane()
      expect(await ended(ends.id)).toMatchObject({status: 'completed', result: 'ends', attempt: 1})
      lasts.letGo()
      expect(await ended(lasts.id)).toMatchObject({status: 'completed', result: 'lasts', attempt: 1})
      expect(await place.property('MainPID')).not.toBe(before)
    },
  )

  test('a stop drains and leaves no process of the agent', async () => {
    const {id, agent} = await startHeldTask('stop')
    expect(processesOf(id)).toContain(agent)
    await place.systemctl('stop', unit)
    await until(() => processesOf(id).length === 0, 'the agent to end', 2000)
    expect(await place.property('ActiveState')).toBe('inactive')
    expect(await place.property('Result')).toBe('success')
  })

  test('uninstalling removes what was installed, and keeps configuration and state', async () => {
    const done = await place.program('uninstall-service')
    expect(done).toMatchObject({code: 0, stdout: expect.stringContaining('Kept /etc/a2a-worker/config.json')})
    expect(await place.property('LoadState')).toBe('not-found')
    expect(await place.systemctl('list-units', '--plain', '--no-legend', 'a2a-*')).toBe('')
    const removed = ['/opt/a2a-worker', '/run/a2a-worker', '/etc/sysusers.d/a2a-worker.conf']
    expect((await place.systemd.run(['ls', ...removed])).stdout).toBe('')
    for (const path of ['/etc/a2a-worker/env', '/var/lib/a2a-worker/workers'])
      expect(existsSync(place.systemd.outside(path))).toBe(true)
    expect((await place.program('uninstall-service')).stdout).toBe(
      'a2a-agent-worker is not installed. Nothing was changed.\n',
    )
  })
})

function parsed({stdout, stderr}: Finished): StatusReport {
  expect(stderr).toBe('')
  return JSON.parse(stdout) as StatusReport
}

/** Hard-links a program if possible, or copies it. */
function link(from: string, to: string): void {
  mkdirSync(dirname(to), {recursive: true})
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
  }
}
