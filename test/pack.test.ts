import {spawn, spawnSync, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {agentDatabase} from './support/agent-storage.ts'
import {environment, stubAgent} from './support/cli.ts'
import {installPackage, nodeOf} from './support/package.ts'
import {repository, scratchFolder, until} from './support/scratch.ts'
import {openTerminal} from './support/terminal.ts'

const scratch = scratchFolder()
const prefix = join(scratch.path, 'prefix')
const env = environment(scratch.path, {OPENCODE_BIN_PATH: stubAgent})
const project = repository(join(scratch.path, 'project'))
mkdirSync(join(scratch.path, 'home'))
const program = join(prefix, 'bin/a2a-worker')

beforeAll(() => void installPackage(prefix))
afterAll(() => scratch[Symbol.dispose]())

type RunOptions = {node?: string; more?: Record<string, string>}

/** Runs the installed program to its end. */
function run(args: string[], {node = process.execPath, more = {}}: RunOptions = {}) {
  const options = {cwd: project, env: {...env, ...more}, encoding: 'utf8'} as const
  const {status, stdout, stderr} = spawnSync(node, [program, ...args], options)
  return {status, stdout, stderr}
}

/** Starts a worker with its own control plane, does something, and ends it. */
async function withWorker(node: string, state: string, work: (more: Record<string, string>) => Promise<void>) {
  const more = {A2A_STATE_DIR: join(scratch.path, state)}
  const worker = spawn(node, [program, 'start', '--no-dashboard'], {cwd: project, env: {...env, ...more}})
  let log = ''
  worker.stderr.on('data', (chunk: Buffer) => (log += String(chunk)))
  try {
    const isReady = () => log.includes('Task stream connected') || worker.exitCode !== null
    await until(isReady, () => `the worker: ${log}`)
    expect(worker.exitCode, log).toBe(null)
    await work(more)
  } finally {
    await end(worker)
  }

  expect(worker.exitCode, log).toBe(0)
}

async function end(worker: ChildProcess) {
  if (worker.exitCode !== null) return
  worker.kill('SIGTERM')
  await once(worker, 'exit')
}

test('the package installs as one package without dependencies', () => {
  expect(readdirSync(join(prefix, 'lib/node_modules'))).toEqual(['a2a-worker'])
  const folder = join(prefix, 'lib/node_modules/a2a-worker')
  expect(readdirSync(folder)).not.toContain('node_modules')
  expect(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))).not.toHaveProperty('dependencies')
})

test.each([
  ['22', 'node-22'],
  ['24', undefined],
  ['26', 'node-26'],
])('the packaged program runs a task with Node %s', async (major, tool) => {
  const node = nodeOf(tool)
  expect(run(['--version'], {node}).stdout).toMatch(new RegExp(`^a2a-worker/\\d+\\.\\d+\\.\\d+ .* node-v${major}\\.`))
  await withWorker(node, `state-${major}`, async (more) => {
    const task = run(['tasks', 'create', 'Fix the failing test', '--follow'], {node, more})
    expect(task.stdout + task.stderr).toMatch(/line 0\n[^]*cost: \$0\.25/)
    expect(run(['status'], {node, more}).stdout).toMatch(/: healthy\nqueue +0 pending, 0 running/)
  })
})

test('the packaged program reads sessions in a thread', () => {
  const storage = join(scratch.path, 'opencode.db')
  using database = agentDatabase(storage)
  database.session({id: 'ses_1', directory: project})
  expect(run(['sessions', 'list'], {more: {A2A_OPENCODE_STORAGE_PATH: storage}}).stdout).toContain('about ses_1')
})

test('the packaged program serves the monitor page with its assets', async () => {
  await withWorker(process.execPath, 'state-page', async ({A2A_STATE_DIR: state = ''}) => {
    const {url} = JSON.parse(readFileSync(join(state, 'local.json'), 'utf8')) as {url: string}
    const page = await (await fetch(url, {headers: {accept: 'text/html'}})).text()
    const assets = [...page.matchAll(/(?:href|src)="([^"]+\.(?:css|js)[^"]*)"/g)].map(([, path = '']) => path)
    expect(assets).toHaveLength(2)
    for (const path of assets) {
      const answer = await fetch(new URL(path, url))
      expect(answer.status, path).toBe(200)
      expect((await answer.text()).length).toBeGreaterThan(1000)
    }
  })
})

test('the packaged program shows the dashboard on a terminal', async () => {
  await withWorker(process.execPath, 'state-dashboard', async (more) => {
    const terminal = await openTerminal({cwd: project, env: {...env, ...more}, columns: 100, rows: 30})
    try {
      terminal.type(`${process.execPath} ${program} dashboard`)
      terminal.press('Enter')
      await terminal.shows(/Tasks/)
      terminal.press('q')
    } finally {
      terminal[Symbol.dispose]()
    }
  })
})

test('the packaged program has help, completion and suggestions', () => {
  expect(run(['--help']).stdout).toMatch(/\n {2}tasks +Create, follow[^]*\n {2}completion /)
  expect(run(['help', 'tasks', 'create']).stdout).toMatch(/^Create a task\n[^]*--follow/)
  expect(run(['tasks', 'create', '--help']).stdout).toBe(run(['help', 'tasks', 'create']).stdout)
  expect(run(['completion', 'bash']).stdout).toContain('a2a-worker')
  expect(run(['complete', '--', 'tasks', 'cr']).stdout).toMatch(/^create\t/)
  expect(run(['tasks', 'crate'])).toMatchObject({
    status: 127,
    stderr: expect.stringContaining('`a2a-worker tasks create`'),
  })
})

test('the packaged program loads what only some commands need', () => {
  expect(run(['config', 'schema']).stdout).toContain('"poll_interval"')
  expect(run(['config', 'set', 'poll_interval', '7'])).toMatchObject({status: 0})
  expect(run(['keys', 'generate', join(scratch.path, 'my.key')]).stdout).toMatch(/^ed25519:/)
  const redis = run(['serve', '--redis-url', 'redis://127.0.0.1:1'])
  expect(redis).toMatchObject({status: 69, stderr: expect.stringContaining('ECONNREFUSED')})
  const proxy = run(['tasks', 'list', '--server', 'http://192.0.2.1'], {more: {A2A_PROXY: 'http://127.0.0.1:1'}})
  expect(proxy.stderr).toContain('the proxy http://127.0.0.1:1 (the setting proxy) is out of reach')
  expect(run(['doctor']).stdout).toMatch(/OpenCode: 1\.18\.0/)
})

test('the packaged program installs itself as a service, and the copy runs', () => {
  const server = ['--server', 'https://plane.example']
  expect(run(['install-service', '--dry-run', ...server]).stdout).toMatch(
    /would copy .*a2a-worker to \/opt\/a2a-worker/,
  )
  const machine = join(scratch.path, 'machine')
  expect(run(['install-service', '--root', machine, ...server])).toMatchObject({status: 0})
  const copy = spawnSync(
    join(machine, 'opt/a2a-worker/bin/node'),
    [join(machine, 'opt/a2a-worker/app/bin/run.js'), 'config', 'path'],
    {cwd: project, env, encoding: 'utf8'},
  )
  expect(copy, copy.stderr).toMatchObject({status: 0})
})
