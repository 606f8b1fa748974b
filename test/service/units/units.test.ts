import {execFileSync, spawnSync} from 'node:child_process'
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {resolveConfig} from '../../../src/lib/config/resolve.ts'
import {machineDropIn} from '../../../src/lib/service/units/drop-in.ts'
import {systemLayout, userLayout, type Layout} from '../../../src/lib/service/machine/layout.ts'
import {shippedFiles} from '../../../src/lib/service/units/shipped-files.ts'
import {quotePath, quoteWord, splitWords} from '../../../src/lib/service/units/unit-quoting.ts'
import {agentsUnit, workerUnit} from '../../../src/lib/service/units/units.ts'
import {root} from '../../support/cli.ts'
import {scratchFolder} from '../../support/scratch.ts'

const layouts: Record<string, Layout> = {
  'of the machine': systemLayout(),
  'of the machine, with a name': systemLayout('prod'),
  'of a user': userLayout({HOME: '/home/some one'}),
}

/** Settings of a service that produce every line of a drop-in. */
const {config} = resolveConfig({
  flags: {codebases: ['/srv/api', '/home/me/my app: "100%" $HOME'], opencode_bin: '/home/me/bin/opencode'},
  env: {A2A_AUTH_TOKEN_FILE: '/home/me/token', A2A_DRAIN_TIMEOUT: '0', A2A_REGISTRATION_ROOTS: '/srv/teams'},
  files: [],
  cwd: '/',
})

/** Writes the units to a folder as systemd expects them, with a program that exists here. */
function written(layout: Layout) {
  const scratch = scratchFolder()
  const unit = join(scratch.path, `${layout.unit}.service`)
  const agents = join(scratch.path, `${layout.agentsUnit}.service`)
  writeFileSync(unit, workerUnit(layout).replace(/^ExecStart=.*\/bin\/node"? /m, `ExecStart=${process.execPath} `))
  writeFileSync(agents, agentsUnit(layout))
  mkdirSync(`${unit}.d`)
  const server = {url: 'https://plane.example/?a=1&b=%20', place: 'unit'} as const
  const env = {HOME: '/opt/a2a-worker', XDG_DATA_HOME: '/opt/a2a-worker/.local/share'}
  const openCode = '/home/me/lib/opencode-linux-x64/bin/opencode'
  writeFileSync(join(`${unit}.d`, 'machine.conf'), machineDropIn({layout, server, config, env, openCode}))
  return {unit, agents, [Symbol.dispose]: () => scratch[Symbol.dispose]()}
}

const onLinux = test.skipIf(process.platform !== 'linux')

onLinux.each(Object.entries(layouts))('systemd accepts the units of a service %s', (_, layout) => {
  using files = written(layout)
  const scope = layout.scope === 'user' ? ['--user'] : []
  const {status, stderr} = spawnSync('systemd-analyze', [...scope, 'verify', files.unit, files.agents], {
    encoding: 'utf8',
    env: {...process.env, XDG_RUNTIME_DIR: '/run'},
  })
  expect({status, stderr}).toEqual({status: 0, stderr: ''})
})

onLinux('systemd rates the exposure of the service, with its drop-in, under 2.0', () => {
  using files = written(systemLayout())
  const {status, stdout} = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=20', files.unit], {
    encoding: 'utf8',
  })
  expect(status, stdout).toBe(0)
})

test('the drop-in binds codebases for writing and other paths for reading, and says where the server is configured', () => {
  using files = written(systemLayout())
  expect(
    readFileSync(join(`${files.unit}.d`, 'machine.conf'), 'utf8')
      .split('\n')
      .slice(2),
  ).toEqual([
    '[Service]',
    'Environment="A2A_SERVER_URL=https://plane.example/?a=1&b=%%20"',
    'TimeoutStopSec=infinity',
    'BindPaths=-/srv/api',
    String.raw`BindPaths=-"/home/me/my app: \"100%%\" $HOME"`,
    'BindPaths=-/srv/teams',
    'BindPaths=-/opt/a2a-worker/.local',
    'BindPaths=-/opt/a2a-worker/.config',
    'BindPaths=-/opt/a2a-worker/.cache',
    'BindPaths=-/opt/a2a-worker/.local/share',
    'BindReadOnlyPaths=-/home/me/lib/opencode-linux-x64/bin/opencode:/home/me/bin/opencode',
    'BindReadOnlyPaths=-/home/me/token',
    '',
  ])
})

test("a user's unit is the same, without the sandbox that needs root", () => {
  using files = written(userLayout({HOME: '/home/me'}))
  const unit = readFileSync(files.unit, 'utf8')
  for (const line of ['Type=notify', 'KillMode=process', 'WantedBy=default.target', 'NoNewPrivileges=yes'])
    expect(unit).toContain(`${line}\n`)
  expect(unit).not.toMatch(/User=|ProtectHome|StateDirectory|network-online/)
  expect(readFileSync(`${files.unit}.d/machine.conf`, 'utf8')).not.toContain('Bind')
  expect(readFileSync(files.agents, 'utf8')).toContain('ExecStop=-systemctl --user kill ')
})

test('shipped files are what the code renders (npm run manifest)', () => {
  const shipped = shippedFiles()
  for (const [name, text] of Object.entries(shipped)) expect(readFileSync(join(root, name), 'utf8'), name).toBe(text)
  const pack = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {cwd: root, encoding: 'utf8'})
  const [{files}] = JSON.parse(pack) as [{files: {path: string}[]}]
  expect(files.map(({path}) => path)).toEqual(expect.arrayContaining(Object.keys(shipped)))
})

test('the example configuration is valid and has no unknown settings', () => {
  const path = join(root, 'config.example.json')
  const content = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  const files = [{path, directory: root, content, isPublic: true}]
  const {warnings, config} = resolveConfig({flags: {}, env: {}, files, cwd: '/'})
  expect(warnings).toEqual([])
  expect(config).toMatchObject({worker_name: 'build-box', codebases: [{name: 'api', path: '/srv/api'}]})
})

test('a quoted word of a unit file is read back unchanged, and a line break is refused', () => {
  for (const word of ['/srv/api', 'a b', 'it\'s "so"', 'back\\slash', '50%', 'x:y'])
    for (const text of [quoteWord(word), quotePath(word)]) expect(splitWords(text)).toEqual([word.replace('%', '%%')])
  expect(splitWords(String.raw`one "two \" 2" 'three 3' fo\ ur`)).toEqual(['one', 'two " 2', 'three 3', 'fo ur'])
  expect(() => quoteWord('/srv/a\nExecStart=/bin/sh')).toThrow(/cannot be written into a unit file/)
})
