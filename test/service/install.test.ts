import {existsSync, readdirSync, statSync, symlinkSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {ExpectedError} from '../../src/lib/core/errors.ts'
import {agentsUnit, workerUnit} from '../../src/lib/service/units/units.ts'
import {systemLayout} from '../../src/lib/service/machine/layout.ts'
import {scratchMachine} from '../support/service.ts'

const unit = '/etc/systemd/system/a2a-agent-worker.service'
const dropIn = `${unit}.d/machine.conf`
const server = 'https://plane.example'

/** Every file below a folder, with its mode and text. */
function snapshot(folder: string): Record<string, string> {
  const entries = readdirSync(folder, {recursive: true, withFileTypes: true})
  return Object.fromEntries(
    entries.map((entry) => {
      const {mode, mtimeMs} = statSync(join(entry.parentPath, entry.name))
      return [join(entry.parentPath, entry.name), `${mode.toString(8)} ${mtimeMs}`]
    }),
  )
}

const failure = async (work: Promise<unknown>) => {
  const error = await work.catch((error: unknown) => error)
  expect(error).toBeInstanceOf(ExpectedError)
  return error as ExpectedError
}

test('an installation writes program, configuration and units to their places, with private modes for private files', async () => {
  const machine = scratchMachine()
  await machine.install({settings: {server_url: server, codebases: ['api:/srv/api'], auth_token: 's3cret'}})
  expect(machine.read('/opt/a2a-worker/app/bin/run.js')).toBe('first\n')
  expect(machine.read('/opt/a2a-worker/bin/node')).toBe('node\n')
  expect(machine.read(unit)).toBe(workerUnit(systemLayout()))
  expect(machine.read(unit.replace('.service', '-agents.service'))).toBe(agentsUnit(systemLayout()))
  expect(machine.read(dropIn)).toMatch(
    /\nEnvironment=A2A_SERVER_URL=https:\/\/plane\.example\nBindPaths=-\/srv\/api\n$/,
  )
  expect(JSON.parse(machine.read('/etc/a2a-worker/config.json'))).toEqual({
    codebases: [{name: 'api', path: '/srv/api'}],
  })
  expect(machine.read('/etc/a2a-worker/env')).toMatch(/\nA2A_AUTH_TOKEN=s3cret\n$/)
  const modes = ['config.json', 'env'].map((name) => statSync(machine.path(`/etc/a2a-worker/${name}`)).mode & 0o777)
  expect(modes).toEqual([0o640, 0o600])
  expect(machine.read('/etc/sysusers.d/a2a-worker.conf')).toContain('\nu a2a-worker ')
  expect(machine.read('/etc/a2a-worker/gitconfig')).toContain('directory = *')
  expect(existsSync(machine.path('/var'))).toBe(false)
})

test('a second installation changes nothing and says so; a new version copies only the program', async () => {
  const machine = scratchMachine()
  const installOptions = {settings: {server_url: server, codebases: ['api:/srv/api']}}
  await machine.install(installOptions)
  const before = snapshot(machine.root)
  for (const again of [installOptions, {}]) {
    const report = await machine.install(again)
    expect(report).toMatchObject({
      changes: [],
      lines: ['a2a-agent-worker is up to date. Nothing was changed.'],
    })
  }

  expect(snapshot(machine.root)).toEqual(before)
  machine.writeProgram('bin/run.js', 'later\n')
  expect((await machine.install()).changes).toEqual([expect.stringMatching(/^copy .* to \/opt\/a2a-worker\/app, /)])
  expect(machine.read('/opt/a2a-worker/app/bin/run.js')).toBe('later\n')
})

test('a dry run shows every file without secrets, and writes none', async () => {
  const machine = scratchMachine()
  machine.write('/etc/a2a-worker/config.json', '{"auth_token": "s3cret", "redis_url": "redis://:pw@h"}')
  const settings = {server_url: server, codebases: ['/srv/api'], auth_token: 'other-s3cret'}
  const {lines, dry_run: isDryRun} = await machine.install({isDryRun: true, settings})
  expect(isDryRun).toBe(true)
  expect(lines).toContain(`would write ${unit} (0644)`)
  expect(lines).toContain('    KillMode=process')
  expect(lines).toContain('    BindPaths=-/srv/api')
  expect(lines.join('\n')).toMatch(/"auth_token": "\*\*\*"/)
  expect(lines.join('\n')).not.toMatch(/s3cret|:pw@/)
  expect(existsSync(machine.path('/opt'))).toBe(false)
  expect(machine.read('/etc/a2a-worker/config.json')).toContain('"s3cret"')
})

test('existing configuration is kept, and requested codebases are added', async () => {
  const machine = scratchMachine()
  const config = '{"codebases":[{"name":"a","path":"/srv/a"}],  "drain_timeout": 60}\n'
  machine.write('/etc/a2a-worker/config.json', config)
  machine.write('/etc/a2a-worker/env', 'A2A_AUTH_TOKEN=mine\n')
  const {warnings} = await machine.install({settings: {server_url: server, auth_token: 'not-mine'}})
  expect(warnings).toEqual([expect.stringContaining('the one given here was not written')])
  expect(machine.read('/etc/a2a-worker/config.json')).toBe(config)
  expect(machine.read('/etc/a2a-worker/env')).toBe('A2A_AUTH_TOKEN=mine\n')
  expect(machine.read(dropIn)).toMatch(/\nTimeoutStopSec=90\nBindPaths=-\/srv\/a\n/)
  await machine.install({settings: {codebases: ['other:/srv/a', '/srv/b'], opencode_bin: '/usr/bin/opencode'}})
  expect(JSON.parse(machine.read('/etc/a2a-worker/config.json'))).toEqual({
    codebases: [
      {name: 'a', path: '/srv/a'},
      {name: 'b', path: '/srv/b'},
    ],
    drain_timeout: 60,
    opencode_bin: '/usr/bin/opencode',
  })
  expect(machine.read(dropIn)).toMatch(/A2A_SERVER_URL=https:\/\/plane\.example\n[^]*BindPaths=-\/srv\/b\n/)
})

test('a token is added to an installation that has none', async () => {
  const machine = scratchMachine()
  await machine.install({settings: {server_url: server}})
  const {warnings} = await machine.install({settings: {auth_token: 's3cret'}})
  expect([machine.read('/etc/a2a-worker/env'), warnings]).toEqual([
    expect.stringMatching(/\nA2A_AUTH_TOKEN=s3cret\n$/),
    [],
  ])
})

test('the server is configured in one place, and the unit says which', async () => {
  const machine = scratchMachine()
  machine.write('/etc/a2a-worker/config.json', `{"server_url": "${server}"}`)
  await machine.install()
  expect(machine.read(dropIn)).toContain(
    '# A2A_SERVER_URL is not set here: server_url in /etc/a2a-worker/config.json counts.',
  )
  machine.write('/etc/a2a-worker/env', 'A2A_SERVER_URL=https://other.example\n')
  await machine.install()
  expect(machine.read(dropIn)).toContain('# A2A_SERVER_URL is not set here: /etc/a2a-worker/env counts.')
  const error = await failure(machine.install({settings: {server_url: server}}))
  expect(error).toMatchObject({
    exitCode: 78,
    message: expect.stringMatching(/env sets A2A_SERVER_URL to https:\/\/other/),
  })
})

test('a worker with another name has its own unit, configuration and /tmp', async () => {
  const machine = scratchMachine()
  await machine.install({settings: {server_url: server, codebases: ['/srv/a']}})
  const first = machine.read(unit)
  const {unit: name} = await machine.install({name: 'prod', settings: {server_url: server, codebases: ['/srv/b']}})
  expect(name).toBe('a2a-agent-worker-prod.service')
  const prod = machine.read('/etc/systemd/system/a2a-agent-worker-prod.service')
  expect(prod).toContain('start --config /etc/a2a-worker/prod.json --name prod\n')
  expect(prod).toContain('StateDirectory=a2a-worker a2a-worker/home a2a-worker/tmp-prod\n')
  expect(prod).toContain('Requires=a2a-agent-worker-prod-agents.service\n')
  expect(machine.read('/etc/a2a-worker/prod.json')).toContain('/srv/b')
  expect(machine.read(unit)).toBe(first)
  expect((await machine.install({name: 'box'})).unit).toBe('a2a-agent-worker.service')
  await machine.uninstall({name: 'prod', purge: true})
  expect(existsSync(machine.path('/etc/a2a-worker/prod.json'))).toBe(false)
  for (const path of [unit, '/opt/a2a-worker/app', '/etc/a2a-worker/config.json', '/etc/sysusers.d/a2a-worker.conf'])
    expect(existsSync(machine.path(path)), path).toBe(true)
})

test.each(['config', 'env', 'agents', 'prod-agents', 'a b', 'ü', '../x'])(
  'no service can be named %j',
  async (name) => {
    const error = await failure(Promise.resolve().then(() => scratchMachine().install({name})))
    expect(error).toMatchObject({exitCode: 2, message: `No service can be named '${name}'.`})
  },
)

test.each([
  ['a unit', unit],
  ['a unit of a package', '/usr/lib/systemd/system/a2a-agent-worker.service'],
  ['a companion', '/etc/systemd/system/a2a-agent-worker-agents.service'],
])('%s of another program is not changed', async (_, path) => {
  const machine = scratchMachine()
  machine.write(path, '[Service]\nExecStart=/bin/true\n')
  const before = snapshot(machine.root)
  for (const work of [machine.install({settings: {server_url: server}}), machine.uninstall()]) {
    const error = await failure(work)
    expect(error).toMatchObject({exitCode: 73, code: 'FOREIGN_UNIT', message: expect.stringContaining(path)})
  }

  expect(snapshot(machine.root)).toEqual(before)
})

test('a bad configuration is reported with its key, and nothing is written', async () => {
  const machine = scratchMachine()
  machine.write('/etc/a2a-worker/config.json', '{"poll_interval": "often"}')
  expect(await failure(machine.install())).toMatchObject({
    exitCode: 78,
    message: expect.stringMatching(/poll_interval \(\/etc\/a2a-worker\/config\.json\): must be a whole number/),
  })
  expect(existsSync(machine.path('/opt'))).toBe(false)
})

test('a file given with --config becomes the configuration only if there is none yet', async () => {
  const machine = scratchMachine()
  const given = (level: string) => ({
    path: '/tmp/c.json',
    directory: '/tmp',
    content: {log_level: level},
    isPublic: false,
  })
  await machine.install({configFile: given('debug')})
  expect(JSON.parse(machine.read('/etc/a2a-worker/config.json'))).toEqual({log_level: 'debug'})
  const {warnings} = await machine.install({configFile: given('warn')})
  expect(warnings).toEqual(['/etc/a2a-worker/config.json was kept; /tmp/c.json was not copied'])
  expect(machine.read('/etc/a2a-worker/config.json')).toContain('debug')
})

test("a symlink at the program's place is not followed", async () => {
  const machine = scratchMachine()
  machine.write('/etc/precious/bin/run.js', 'mine\n')
  machine.write('/opt/a2a-worker/worker.py', '')
  symlinkSync(machine.path('/etc/precious'), machine.path('/opt/a2a-worker/app'))
  await machine.install()
  expect(machine.read('/etc/precious/bin/run.js')).toBe('mine\n')
  expect(machine.read('/opt/a2a-worker/app/bin/run.js')).toBe('first\n')
})

test("a user's service uses only folders of that user", async () => {
  const machine = scratchMachine()
  await machine.install({isUser: true, settings: {server_url: server}})
  expect(readdirSync(machine.root)).toEqual(['home'])
  expect(machine.read('/home/me/.config/systemd/user/a2a-agent-worker.service')).toContain(
    'ExecStart=/home/me/.local/share/a2a-worker/bin/node /home/me/.local/share/a2a-worker/app/bin/run.js start --config /home/me/.config/a2a-worker/config.json\n',
  )
  await machine.uninstall({isUser: true, purge: true})
  expect(readdirSync(machine.path('/home/me/.config/systemd/user'))).toEqual([])
  expect(readdirSync(machine.path('/home/me/.local/share'))).toEqual([])
})

test('uninstalling keeps configuration, state and foreign files', async () => {
  const machine = scratchMachine()
  await machine.install({settings: {server_url: server}})
  machine.write(`${unit}.d/override.conf`, '[Service]\n')
  machine.write('/opt/a2a-worker/bin/opencode', '')
  machine.write('/var/lib/a2a-worker/workers/box/identity.json', '{}')
  const planned = await machine.uninstall({isDryRun: true})
  expect(planned.lines).toContain(`would remove ${unit}`)
  expect(existsSync(machine.path(unit))).toBe(true)
  await machine.uninstall()
  expect(readdirSync(machine.path('/etc/systemd/system'))).toEqual(['a2a-agent-worker.service.d'])
  expect(readdirSync(machine.path('/opt/a2a-worker/bin'))).toEqual(['opencode'])
  expect(readdirSync(machine.path('/etc/a2a-worker')).sort()).toEqual(['config.json', 'env'])
  expect((await machine.uninstall()).lines).toEqual(['a2a-agent-worker is not installed. Nothing was changed.'])
  await machine.uninstall({purge: true})
  for (const path of ['/etc/a2a-worker', '/var/lib/a2a-worker']) expect(existsSync(machine.path(path))).toBe(false)
})
