// The 60-second demo: a scratch repository with a failing program, a control plane, a worker, the real OpenCode, and a
// task that fixes the program. By default a script plays the model. `--model provider/name` uses a real model and this
// user's own login.
import {spawn, spawnSync} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {delimiter, dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {parseArgs} from 'node:util'
import {openCodeEnvironment} from './model/opencode-environment.mjs'
import {createFakeModel} from './model/server.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const cli = join(root, 'bin/run.js')
const {values} = parseArgs({options: {model: {type: 'string'}}})
const scratch = mkdtempSync(join(tmpdir(), 'a2a-demo-'))
const codebase = join(scratch, 'calculator')
const started = Date.now()

const broken =
  "const add = (a, b) => a - b\n\nif (add(2, 3) !== 5) {\n  console.error('FAIL: add(2, 3) is', add(2, 3))\n  process.exit(1)\n}\nconsole.log('PASS: add(2, 3) is 5')\n"
const request = 'The program `node calculator.mjs` fails. Find out why, fix it, and run it to see that it passes.'
const script =
  '[fake:bash cmd="node calculator.mjs"] [fake:read path=calculator.mjs] [fake:replace path=calculator.mjs old="a - b" new="a + b"] [fake:bash cmd="node calculator.mjs"] [fake:text say="The function add subtracted. Now it adds, and the program passes."]'

const say = (text) => process.stdout.write(`${text}\n`)
const step = (text) => say(`\n\u001b[1m▸ ${text}\u001b[0m`)

function run(command, args, options = {}) {
  const result = spawnSync(command, args, {encoding: 'utf8', cwd: codebase, ...options})
  if (result.error) throw result.error
  return result
}

function makeRepository() {
  mkdirSync(codebase)
  writeFileSync(join(codebase, 'calculator.mjs'), broken)
  const git = (...args) => run('git', ['-c', 'user.name=demo', '-c', 'user.email=demo@localhost', ...args])
  git('init', '-q')
  git('add', '.')
  git('commit', '-q', '-m', 'A calculator')
}

/** Starts the scripted model on loopback. Returns an environment in which OpenCode uses only that model and no user files. */
async function scriptedModel() {
  const {server} = createFakeModel()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const home = join(scratch, 'home')
  const folders = Object.fromEntries(
    ['DATA', 'CONFIG', 'CACHE', 'STATE'].map((name) => [`XDG_${name}_HOME`, join(home, name.toLowerCase())]),
  )
  mkdirSync(home)
  return {
    close: () => server.closeAllConnections() ?? server.close(),
    model: 'fake/x',
    env: {HOME: home, ...folders, ...openCodeEnvironment(server.address().port)},
  }
}

async function startWorker(env) {
  const worker = spawn(process.execPath, [cli, 'start', '--local', '--name', 'demo'], {
    cwd: codebase,
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  worker.stderr.setEncoding('utf8').on('data', (text) => (log += text))
  const deadline = Date.now() + 60_000
  while (!log.includes('Task stream connected')) {
    if (worker.exitCode !== null || Date.now() > deadline) throw new Error(`the worker did not start:\n${log}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }

  say(
    log
      .split('\n')
      .filter((line) => /OpenCode|control plane|Registered/.test(line))
      .map((line) => `  ${line.slice(25)}`)
      .join('\n'),
  )
  return worker
}

async function follow(prompt, model, env) {
  const args = [cli, 'tasks', 'create', prompt, '--title', 'Fix the calculator', '--model', model, '--follow']
  const client = spawn(process.execPath, args, {cwd: codebase, env, stdio: ['ignore', 'inherit', 'inherit']})
  const [code] = await once(client, 'exit')
  return code
}

async function main() {
  step('A repository with a failing program')
  makeRepository()
  say(run(process.execPath, ['calculator.mjs']).stderr.trim())

  const scripted = values.model === undefined ? await scriptedModel() : undefined
  const base = {...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}`}
  for (const name of Object.keys(base)) if (name.startsWith('A2A_')) delete base[name]
  const env = {...base, A2A_STATE_DIR: join(scratch, 'state'), ...scripted?.env}
  step('A control plane, a worker, and the real OpenCode')
  const worker = await startWorker(env)
  try {
    step(`A task: ${request}`)
    const code = await follow(scripted ? `${request}\n\n${script}` : request, values.model ?? scripted.model, env)
    if (code !== 0) throw new Error(`the task ended with exit code ${code}`)
    step('What changed (git diff)')
    say(run('git', ['--no-pager', 'diff', '--color=always']).stdout.trim())
    step('Running the program again')
    const result = run(process.execPath, ['calculator.mjs'])
    say((result.stdout + result.stderr).trim())
    if (result.status !== 0) throw new Error('the program still fails')
    say(
      `\nDone in ${((Date.now() - started) / 1000).toFixed(1)} s. Everything ran on this machine, and the demo removes its files.`,
    )
  } finally {
    worker.kill('SIGTERM')
    if (worker.exitCode === null) await once(worker, 'exit')
    scripted?.close()
    rmSync(scratch, {recursive: true, force: true})
  }
}

try {
  await main()
} catch (error) {
  rmSync(scratch, {recursive: true, force: true})
  process.stderr.write(`The demo failed: ${error.message}\n`)
  process.exitCode = 1
}
