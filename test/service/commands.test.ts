import {execFileSync, spawnSync} from 'node:child_process'
import {existsSync, mkdirSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {ServiceReport} from '../../src/lib/service/install.ts'
import {cli, environment} from '../support/cli.ts'
import {scratchFolder} from '../support/scratch.ts'
import {asStranger} from '../support/stranger.ts'

const isRoot = process.getuid?.() === 0
/** Commands that must fail never run as root, because a success would change this machine. */
const by = isRoot ? asStranger() : []
const hasSystemd = existsSync('/run/systemd/system')

function workplace() {
  const scratch = scratchFolder()
  mkdirSync(join(scratch.path, 'home'))
  const env = environment(scratch.path)
  const run = (args: string[], by: string[] = []) => cli(args, {cwd: '/', env, by})
  return {path: scratch.path, run, [Symbol.dispose]: () => scratch[Symbol.dispose]()}
}

const withServer = ['install-service', '--server', 'https://plane.example', '--codebase', 'api:/srv/api']

test.each([withServer, ['uninstall-service']])('%s needs systemd and root', async (...args) => {
  using work = workplace()
  const {code, stderr} = await work.run(args, by)
  expect(code).toBe(hasSystemd ? 77 : 78)
  expect(stderr).toMatch(
    hasSystemd ? /Only root can[^]*→ Run this with sudo/ : /systemd does not run on this machine\.\n/,
  )
})

const canHideRun = isRoot && spawnSync('unshare', ['--mount', 'true']).status === 0

test.skipIf(!canHideRun)('without systemd it suggests alternatives', async () => {
  using work = workplace()
  const hidden = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /run && exec "$@"', 'sh', ...by]
  const {code, stderr} = await work.run(withServer, hidden)
  expect(code).toBe(78)
  expect(stderr).toMatch(
    /systemd does not run on this machine\.\n {2}→ Let the init system of this machine run `a2a-worker start`.* --root DIR\./,
  )
})

test('a dry run needs neither, shows all changes as text and as JSON, and writes nothing', async () => {
  using work = workplace()
  const shown = await work.run([...withServer, '--dry-run'], by)
  expect(shown.code).toBe(0)
  expect(shown.stdout).toMatch(
    /would write \/etc\/systemd\/system\/a2a-agent-worker\.service \(0644\)\n[^]*KillMode=process\n/,
  )
  expect(shown.stdout).toMatch(
    /\n {4}BindPaths=-\/srv\/api\n[^]*would run systemctl enable a2a-agent-worker\.service\n/,
  )
  const json = await work.run([...withServer, '--dry-run', '--json'], by)
  const report = JSON.parse(json.stdout) as ServiceReport
  expect(report).toMatchObject({unit: 'a2a-agent-worker.service', dry_run: true})
  expect(report.changes).toContain('run systemctl daemon-reload')
  expect(existsSync('/opt/a2a-worker/app')).toBe(false)
})

test('without a server there is nothing to install', async () => {
  using work = workplace()
  const {code, stderr} = await work.run(['install-service', '--dry-run'], by)
  expect({code, stderr}).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/No server is configured[^]*Give --server URL/),
  })
})

test('with --root the whole program is written below that folder, and it runs', async () => {
  using work = workplace()
  const root = join(work.path, 'package')
  const {code, stdout} = await work.run(['install-service', '--root', root])
  expect(code).toBe(0)
  expect(stdout).toContain('systemd-sysusers to create the user')
  expect(stdout).not.toContain('ran ')
  const [node, run] = ['bin/node', 'app/bin/run.js'].map((path) => join(root, 'opt/a2a-worker', path))
  const help = execFileSync(node ?? '', [run ?? '', 'tasks', 'create', '--help'], {cwd: '/', encoding: 'utf8', env: {}})
  expect(help).toContain('Create a task')
  expect(readdirSync(root).sort()).toEqual(['etc', 'opt'])
  expect((await work.run(['install-service', '--root', root])).stdout).toBe(
    'a2a-agent-worker is up to date. Nothing was changed.\n',
  )
})

test('a user for agents needs a service of the machine, and shows in the dry run', async () => {
  using work = workplace()
  const words = [...withServer, '--agent-user', 'a2a-agent', '--dry-run']
  const refused = await work.run([...words, '--user'])
  expect(refused.code).toBe(78)
  expect(refused.stderr).toContain('agent_user needs a service of the machine.\n  → Install it as root')
  const shown = await work.run([...words, '--root', join(work.path, 'root')])
  expect(shown.code).toBe(0)
  for (const line of [
    'would write /etc/sysusers.d/a2a-worker-agents.conf',
    'u a2a-agent - "agents of a2a-worker" /var/lib/a2a-agents/home /usr/sbin/nologin',
    'm a2a-worker a2a-agent',
    'AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_SETPCAP',
    '"agent_user": "a2a-agent"',
  ])
    expect(shown.stdout).toContain(line)
})

test.skipIf(!isRoot)('a home that this user may not look into is named, exit 77', async () => {
  using work = workplace()
  const {code, stderr} = await work.run([...withServer, '--user', '--dry-run'], by)
  expect({code, stderr}).toEqual({code: 77, stderr: expect.stringContaining('cannot be read: EACCES')})
})
