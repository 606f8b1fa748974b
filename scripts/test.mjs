// Installs missing programs that the tests need (as root, with apt), then runs the tests. If it cannot install a program,
// it names its Debian package.
import {spawnSync} from 'node:child_process'
import {existsSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** Required programs and their Debian packages. */
const needs = {
  git: 'git',
  curl: 'curl',
  openssl: 'openssl',
  rg: 'ripgrep',
  'redis-server': 'redis-server',
  tmux: 'tmux',
  nginx: 'nginx-light',
  chromium: 'chromium',
  ...(process.platform === 'linux' ? linuxNeeds() : {}),
}

function linuxNeeds() {
  const forSystemd = {'systemd-analyze': 'systemd', nsenter: 'util-linux', 'dbus-daemon': 'dbus'}
  return {...forSystemd, setfacl: 'acl', pgrep: 'procps'}
}

const paths = [...(process.env.PATH ?? '').split(':'), '/usr/sbin']
const has = (program) => paths.some((folder) => existsSync(join(folder, program)))
const missing = () => Object.keys(needs).filter((program) => !has(program))

if (missing().length > 0 && process.getuid?.() === 0 && has('apt-get')) {
  const packages = missing().map((program) => needs[program])
  process.stderr.write(`Installing packages for the tests: ${packages.join(' ')}\n`)
  const env = {...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1'}
  const quiet = {stdio: ['ignore', 'ignore', 'inherit'], env}
  spawnSync('apt-get', ['update', '-qq'], quiet)
  spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], quiet)
}

if (missing().length > 0) {
  for (const program of missing())
    process.stderr.write(`The tests need ${program} (Debian package: ${needs[program]}).\n`)
  process.exit(1)
}

if (
  process.platform === 'linux' &&
  process.arch === 'x64' &&
  !existsSync(join(root, 'node_modules/opencode-linux-x64/bin/opencode'))
) {
  process.stderr.write('The real OpenCode is missing from node_modules; run npm ci.\n')
  process.exit(1)
}

const vitest = join(root, 'node_modules/vitest/vitest.mjs')
const {status} = spawnSync(process.execPath, [vitest, 'run', ...process.argv.slice(2)], {stdio: 'inherit', cwd: root})
process.exit(status ?? 1)
