import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {program, start, stop, type Finished} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {startOneWorker} from '../support/one-worker.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {asStranger, strangerUid} from '../support/stranger.ts'
import {says} from '../support/workshop.ts'

const isRoot = process.getuid?.() === 0

/** The program without a shell, without A2A variables and with a user that passwd does not know. */
function unknownUser() {
  const scratch = scratchFolder()
  onTestFinished(() => scratch[Symbol.dispose]())
  const home = join(scratch.path, 'home')
  mkdirSync(home)
  for (const path of [scratch.path, home]) chownSync(path, strangerUid, strangerUid)
  chmodSync(scratch.path, 0o755)
  const env = {PATH: process.env['PATH'] ?? '', HOME: home}
  return {path: scratch.path, env}
}

test.skipIf(!isRoot)('every command works for a uid that passwd does not know, without SHELL', async () => {
  await using fleet = await startFleet()
  const {path, env} = unknownUser()
  const tree = repository(join(path, 'p'))
  const run = async (...args: string[]): Promise<Finished> =>
    start(args, {cwd: tree, env: {...env, A2A_SERVER_URL: fleet.url}, by: asStranger()}).finished
  const withAgent = {...env, OPENCODE_BIN_PATH: fleet.env['OPENCODE_BIN_PATH'] ?? ''}
  const worker = start(['start', '--server', fleet.url, '--name', 'w', '--codebase', tree], {
    cwd: path,
    env: withAgent,
    by: asStranger(),
  })
  onTestFinished(async () => void (await stop(worker, 'SIGKILL')))
  await says(worker, 'Task stream connected')
  const {code, stdout} = await run('tasks', 'create', '--codebase', tree, '--wait', '--json', 'hello')
  expect({code, ...JSON.parse(stdout)}).toMatchObject({code: 0, status: 'completed'})
  const task = (JSON.parse(stdout) as {id: string}).id
  const others = [
    ['--help'],
    ['config', 'show'],
    ['config', 'path'],
    ['config', 'set', 'log_level', 'debug'],
    ['status'],
    ['workers', 'list'],
    ['codebases', 'list'],
    ['tasks', 'list'],
    ['tasks', 'get', task],
    ['tasks', 'output', task],
    ['sessions', 'list'],
    ['sessions', 'sync'],
    ['register', '--dry-run', tree],
    ['install-service', '--user', '--dry-run'],
    ['uninstall-service', '--dry-run'],
  ]
  for (const args of others) expect({args, ...(await run(...args))}).toMatchObject({args, code: 0})
})

test.skipIf(!isRoot)('a user without passwd entry and without HOME is told so in one line, exit 78', async () => {
  const {path, env} = unknownUser()
  const {code, stdout, stderr} = await start(['status'], {cwd: path, env: {PATH: env.PATH}, by: asStranger()}).finished
  expect({code, stdout}).toEqual({code: 78, stdout: ''})
  expect(stderr).toBe(
    'a2a-worker needs a home directory: HOME is not set, and uid 54321 has no entry in passwd. Set HOME=DIRECTORY.\n',
  )
})

/** Runs the program with a pipe whose reader has left before the first line. */
async function runWithoutReader(args: string[], pipe: 'stdout' | 'stderr') {
  const {path, env} = unknownUser()
  const child = spawn(process.execPath, [program, ...args], {cwd: path, env, stdio: ['ignore', 'pipe', 'pipe']})
  child[pipe].destroy()
  let text = ''
  child[pipe === 'stdout' ? 'stderr' : 'stdout'].on('data', (data: Buffer) => (text += data.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return {code, text}
}

test.each(['--help', '--version', 'tasks --help', 'config schema', 'config show --json'])(
  'a command ends quietly with exit 0 when the reader of its output leaves early (%s)',
  async (line) => {
    expect(await runWithoutReader(line.split(' '), 'stdout')).toEqual({code: 0, text: ''})
  },
)

test('a reader of stderr that leaves early does not change how a command ends', async () => {
  expect(await runWithoutReader(['tasks', 'list'], 'stderr')).toEqual({code: 69, text: ''})
})

test('a worker whose log has lost its reader still drains at Ctrl-C', async () => {
  await using one = await startOneWorker()
  const task = await one.begin(`${printing(stepStart())}while [ ! -e go ]; do sleep 0.05; done\n${answering('done')}`)
  await says(one.worker, 'Executing task')
  one.worker.process.stderr?.destroy()
  one.worker.process.kill('SIGINT')
  writeFileSync(join(one.tree, 'go'), '')
  expect(await one.ended(task)).toMatchObject({status: 'completed', result: 'done'})
  expect((await one.worker.finished).code).toBe(0)
})

/** Process 1 of its own pid namespace, as in a container without an init. */
const asFirst = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']

test.skipIf(!isRoot)('a worker that is process 1 of its container asks for an init, and so does doctor', async () => {
  await using fleet = await startFleet()
  const options = {cwd: fleet.path, env: {...fleet.env, A2A_SERVER_URL: fleet.url}, by: asFirst}
  const worker = await start(['start', '--name', 'w', '--exit-after-idle', '1'], options).finished
  expect(worker).toMatchObject({code: 0, stderr: expect.stringMatching(/process 1 .* is node, .*docker run --init/)})
  const {stdout} = await start(['doctor', '--json'], options).finished
  const {findings} = JSON.parse(stdout) as {findings: {check: string; state: string; fixes: string[]}[]}
  expect(findings.find(({check}) => check === 'init')).toMatchObject({
    state: 'warning',
    fixes: [expect.stringContaining('docker run --init')],
  })
})

test.skipIf(!isRoot)('doctor notices a process 1 that leaves zombies behind', async () => {
  using scratch = scratchFolder()
  const env = {PATH: process.env['PATH'] ?? '', HOME: scratch.path}
  // The shell replaces itself with a program that reaps nothing, after it has started children that end.
  const script = `for i in $(seq 12); do sleep 0.01 & done; exec tail -f /dev/null`
  const [command = '', ...rest] = [...asFirst, 'sh', '-c', script]
  const first = spawn(command, rest, {env, stdio: 'ignore'})
  onTestFinished(() => void first.kill('SIGKILL'))
  const inside = await until(() => readFileSync(`/proc/${first.pid}/task/${first.pid}/children`, 'utf8').trim(), 'sh')
  const enter = ['nsenter', '-t', inside, '-m', '-p', '--']
  const report = () => start(['doctor'], {cwd: scratch.path, env, by: enter}).finished
  const found = await until(async () => /! init: process 1 .*/.exec((await report()).stdout)?.[0], 'the finding')
  expect(found).toBe('! init: process 1 (tail) does not reap ended processes (12 zombies now)')
})
