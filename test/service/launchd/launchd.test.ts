import {execFileSync} from 'node:child_process'
import {existsSync, mkdirSync, readFileSync, statSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {resolveConfig} from '../../../src/lib/config/resolve.ts'
import {installWithLaunchd} from '../../../src/lib/service/launchd/install-launchd.ts'
import {launchdLayout} from '../../../src/lib/service/launchd/launchd-layout.ts'
import {uninstallWithLaunchd} from '../../../src/lib/service/launchd/uninstall-launchd.ts'
import {Machine} from '../../../src/lib/service/machine/machine.ts'
import {scratchFolder} from '../../support/scratch.ts'

type Asked = {name?: string; isUser?: boolean; isDryRun?: boolean; purge?: boolean; settings?: Record<string, unknown>}

const server = 'https://plane.example'
const daemon = '/Library/LaunchDaemons/local.a2a-worker.plist'

/** A folder that represents a Mac, and a small program to install there. */
function scratchMac(env: Record<string, string> = {SUDO_USER: 'ann'}) {
  const scratch = scratchFolder()
  onTestFinished(() => scratch[Symbol.dispose]())
  const root = join(scratch.path, 'mac')
  const write = (path: string, text: string) => {
    mkdirSync(dirname(path), {recursive: true})
    writeFileSync(path, text)
  }
  const program = {root: join(scratch.path, 'program'), node: join(scratch.path, 'node')}
  write(join(program.root, 'package.json'), '{"name": "a2a-worker", "files": ["bin"]}')
  write(join(program.root, 'bin/run.js'), 'first\n')
  write(program.node, 'node\n')
  const machine = new Machine({root, env})
  const place = async ({isUser = false, name}: Asked) => {
    const user = {id: 501, name: 'ann'}
    return launchdLayout({machine, isUser, name, hostname: 'mac', env: {HOME: '/Users/ann', ...env}, user})
  }
  const lines: string[] = []
  const print = (text: string) => void lines.push(text)
  return {
    lines,
    path: (path: string) => join(root, path),
    read: (path: string) => readFileSync(join(root, path), 'utf8'),
    write: (path: string, text: string) => write(join(root, path), text),
    async install(asked: Asked = {}) {
      const {config} = resolveConfig({flags: {server_url: server, ...asked.settings}, env: {}, files: [], cwd: '/srv'})
      const request = {
        ...{server: config.server_url, codebases: config.codebases, openCode: config.opencode_bin},
        ...{token: config.auth_token, agentUser: config.agent_user, configFile: undefined, paths: ['/opt/r&d/bin']},
      }
      const layout = await place(asked)
      const common = {machine, layout, request, program, uid: 501, env, start: false, print}
      return installWithLaunchd({...common, isDryRun: asked.isDryRun ?? false})
    },
    async uninstall(asked: Asked = {}) {
      const options = {isDryRun: false, purge: asked.purge ?? false, print}
      return uninstallWithLaunchd({machine, layout: await place(asked), uid: 501, ...options})
    },
  }
}

/** The keys of a property list with their values. Throws if it is no well-formed one. */
function parsePlist(xml: string): Record<string, unknown> {
  const frame = /^<\?xml [^>]*\?>\n<!DOCTYPE plist [^>]*>\n<!--[^]*?-->\n<plist version="1.0">\n([^]*)\n<\/plist>\n$/
  const body = frame.exec(xml)?.[1] ?? ''
  const tokens = [...body.matchAll(/\s*(?:<(\/?)(\w+)(\/?)>|([^<]+))/g)]
  expect(tokens.map(([token]) => token).join('')).toBe(body)
  let at = 0
  const plain = (name: string) => {
    const value = tokens[at]?.[4] ?? ''
    at += 1
    expect(tokens[at]?.slice(1, 3)).toEqual(['/', name])
    at += 1
    return value.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
  }
  const value = (): unknown => {
    const [, , name = '', isEmpty] = tokens[at++] ?? []
    if (isEmpty) return name === 'true'
    if (name === 'string') return plain(name)
    if (name === 'integer') return Number(plain(name))
    const isEnd = () => tokens[at]?.[1] === '/'
    if (name === 'array') {
      const found: unknown[] = []
      while (!isEnd()) found.push(value())
      at += 1
      return found
    }

    expect(name).toBe('dict')
    const found: Record<string, unknown> = {}
    while (!isEnd()) {
      expect(tokens[at]?.[2]).toBe('key')
      at += 1
      const key = plain('key')
      found[key] = value()
    }

    at += 1
    return found
  }
  const result = value()
  expect(at).toBe(tokens.length)
  return result as Record<string, unknown>
}

test('on macOS a LaunchDaemon runs the worker as the user who has called sudo, and contains no secret', async () => {
  const mac = scratchMac()
  await mac.install({settings: {codebases: ['api:/srv/api & more'], auth_token: 's3cret', drain_timeout: 60}})
  const plist = parsePlist(mac.read(daemon))
  expect(plist).toMatchObject({
    Label: 'local.a2a-worker',
    UserName: 'ann',
    RunAtLoad: true,
    KeepAlive: true,
    AbandonProcessGroup: true,
    ExitTimeOut: 330,
    WorkingDirectory: '/Users/ann',
    StandardErrorPath: '/Users/ann/Library/Logs/local.a2a-worker.log',
    EnvironmentVariables: {
      HOME: '/Users/ann',
      PATH: expect.stringMatching(/^\/opt\/r&d\/bin:\/opt\/homebrew\/bin:\/usr\/local\/bin:/),
    },
  })
  const words = plist['ProgramArguments'] as string[]
  expect(words.slice(0, 2)).toEqual(['/bin/sh', '-c'])
  expect(words.slice(3)).toEqual([
    '/etc/a2a-worker/env',
    '/opt/a2a-worker/bin/node',
    '/opt/a2a-worker/app/bin/run.js',
    ...['start', '--no-dashboard', '--config', '/etc/a2a-worker/config.json'],
  ])
  expect(mac.read(daemon)).not.toContain('s3cret')
  expect(mac.read('/etc/a2a-worker/env')).toContain('\nA2A_AUTH_TOKEN=s3cret\n')
  const config = {server_url: server, codebases: [{name: 'api', path: '/srv/api & more'}]}
  expect(JSON.parse(mac.read('/etc/a2a-worker/config.json'))).toEqual(config)
  const modes = ['/etc/a2a-worker/env', '/etc/a2a-worker/config.json', daemon].map((path) => statSync(mac.path(path)))
  expect(modes.map(({mode}) => mode & 0o777)).toEqual([0o600, 0o600, 0o644])
  expect(mac.read('/opt/a2a-worker/app/bin/run.js')).toBe('first\n')
  expect(mac.lines.join('\n')).toMatch(/Warning: launchd has no sandbox, no control groups.*agents run as ann/)
})

test('the shell that launchd starts gives the worker the variables of the environment file', async () => {
  const mac = scratchMac()
  await mac.install()
  const words = parsePlist(mac.read(daemon))['ProgramArguments'] as string[]
  const file = mac.path('/etc/a2a-worker/env')
  writeFileSync(file, `A2A_AUTH_TOKEN="two words \\$HOME"\n# comment\nPLAIN=1\n`)
  const run = (path: string) => {
    const show = [process.execPath, '-p', '[process.env.A2A_AUTH_TOKEN, process.env.PLAIN].join()']
    return execFileSync('/bin/sh', ['-c', words[2] ?? '', path, ...show], {env: {}, encoding: 'utf8'}).trim()
  }
  expect(run(file)).toBe('two words $HOME,1')
  expect(run('/nowhere')).toBe(',')
})

test('on macOS a LaunchAgent belongs to its user, and another name is another service', async () => {
  const mac = scratchMac({})
  const report = await mac.install({isUser: true, name: 'prod'})
  expect(report.unit).toBe('local.a2a-worker.prod')
  const plist = parsePlist(mac.read('/Users/ann/Library/LaunchAgents/local.a2a-worker.prod.plist'))
  expect(plist).not.toHaveProperty('UserName')
  expect((plist['ProgramArguments'] as string[]).slice(-2)).toEqual(['--name', 'prod'])
  expect(existsSync(mac.path('/Users/ann/.config/a2a-worker/prod.json'))).toBe(true)
})

test('on macOS a second installation changes nothing, and a dry run writes nothing', async () => {
  const mac = scratchMac()
  const dry = await mac.install({isDryRun: true})
  expect(mac.lines).toContain(`would write ${daemon} (0644)`)
  expect(mac.lines).toContain('      <key>KeepAlive</key>')
  expect(dry.changes.length).toBeGreaterThan(5)
  expect(existsSync(mac.path('/opt'))).toBe(false)
  await mac.install()
  expect(await mac.install()).toMatchObject({changes: []})
  expect(mac.lines).toContain('local.a2a-worker is up to date. Nothing was changed.')
})

test('on macOS an uninstallation removes the property list and, with the last service, the program', async () => {
  const mac = scratchMac()
  await mac.install()
  await mac.install({name: 'prod'})
  await mac.uninstall({name: 'prod', purge: true})
  expect(existsSync(mac.path('/etc/a2a-worker/prod.json'))).toBe(false)
  expect(existsSync(mac.path('/opt/a2a-worker/app'))).toBe(true)
  await mac.uninstall()
  for (const path of [daemon, '/opt/a2a-worker']) expect(existsSync(mac.path(path)), path).toBe(false)
  expect(existsSync(mac.path('/etc/a2a-worker/config.json'))).toBe(true)
  expect(await mac.uninstall()).toMatchObject({changes: []})
})

test('on macOS a property list of another program stays, and what macOS lacks is refused', async () => {
  const mac = scratchMac()
  mac.write(daemon, '<plist/>')
  for (const work of [mac.install(), mac.uninstall()])
    await expect(work).rejects.toMatchObject({exitCode: 73, message: `${daemon} was not written by a2a-worker.`})
  expect(mac.read(daemon)).toBe('<plist/>')
  await expect(scratchMac().install({settings: {agent_user: 'bob'}})).rejects.toMatchObject({exitCode: 78})
  await expect(scratchMac({}).install()).rejects.toMatchObject({exitCode: 2})
  await expect(scratchMac({SUDO_USER: 'root'}).install()).rejects.toMatchObject({exitCode: 2})
})
