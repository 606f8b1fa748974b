import {execFileSync, spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {environment, root, stubAgent} from './support/cli.ts'
import {repository, scratchFolder, until} from './support/scratch.ts'

test('the packed and installed program runs the commands at the top of the README', async () => {
  using scratch = scratchFolder()
  const prefix = join(scratch.path, 'prefix')
  const npm = (...args: string[]) =>
    execFileSync('npm', args, {cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe']})
  // Skip scripts: they would rebuild dist, which other tests use at the same time.
  npm('pack', '--ignore-scripts', '--silent', '--pack-destination', scratch.path)
  const tarball = readdirSync(scratch.path).find((name) => name.endsWith('.tgz')) ?? ''
  npm('install', '-g', '--prefix', prefix, '--prefer-offline', '--no-audit', '--no-fund', join(scratch.path, tarball))

  const program = join(prefix, 'bin/a2a-worker')
  const project = repository(join(scratch.path, 'project'))
  const env = environment(scratch.path, {OPENCODE_BIN_PATH: stubAgent})
  mkdirSync(join(scratch.path, 'home'))
  const run = (...args: string[]) => execFileSync(program, args, {cwd: project, env, encoding: 'utf8'})
  expect(run('--version')).toMatch(/^a2a-worker\/\d+\.\d+\.\d+ /)
  const worker = spawn(program, ['start'], {cwd: project, env, stdio: ['ignore', 'ignore', 'pipe']})
  let log = ''
  worker.stderr.on('data', (chunk: Buffer) => (log += String(chunk)))
  try {
    await until(
      () => log.includes('Task stream connected'),
      () => `the worker: ${log}`,
    )
    expect(run('tasks', 'create', 'Fix the failing test', '--follow')).toMatch(/line 0\n[^]*cost: \$0\.25/)
    expect(run('status')).toMatch(/: healthy\nqueue +0 pending, 0 running/)
  } finally {
    worker.kill('SIGTERM')
    await once(worker, 'exit')
  }
}, 120_000)
