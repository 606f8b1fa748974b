// The 60-second demo: a scratch repository with a failing program, a control plane, a worker, the real OpenCode, a task
// that fixes the program, and one that asks for a permission before it commits the fix. By default a script plays the model. `--model provider/name` uses a real model and this
// user's own login.
import {spawn, spawnSync} from 'node:child_process'
import {once} from 'node:events'
import {existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
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

const commitRequest = 'Commit the fix.'
const commitScript =
  '[fake:bash cmd="git -c user.name=demo -c user.email=demo@localhost commit -qam Fix-the-calculator"] [fake:text say="Committed."]'
/** OpenCode stays ready for the next task, and asks before it commits. */
const settings = {
  A2A_WARM_AGENTS: '1',
  A2A_PERMISSIONS: JSON.stringify({bash: {'*': 'allow', 'git*commit*': 'ask'}}),
}

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
  server.on('request', () => requestTimes.push(Date.now()))
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

/** When the scripted model was asked, Unix ms. */
const requestTimes = []

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function until(look, what, ms = 60_000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
    const found = await look()
    if (found) return found
  }
  throw new Error(`gave up waiting for ${what}`)
}

/** Waits for the agent that the worker starts ahead. */
const untilWarm = () => {
  const folder = join(scratch, 'state/workers/demo/agents')
  const said = (name) => {
    const file = join(folder, name, 'messages.ndjson')
    return existsSync(file) ? readFileSync(file, 'utf8') : ''
  }
  return until(
    () => existsSync(folder) && readdirSync(folder).some((name) => said(name).includes('warm-up-prompt-1')),
    'OpenCode to be ready',
  )
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

/** Runs the program, and returns what it prints as JSON. */
function askProgram(args, env) {
  const {status, stdout, stderr} = run(process.execPath, [cli, ...args, '--json'], {env})
  if (status !== 0) throw new Error(stderr || stdout)
  return JSON.parse(stdout)
}

/** Prints how long the task took to reach the model. */
function reportSpeed(from, env) {
  const [task] = askProgram(['tasks', 'list'], env)
  const asked = requestTimes.find((time) => time >= from)
  if (asked === undefined || !task) return
  const ms = asked - Date.parse(task.created_at)
  say(
    `\nFrom the creation of the task to the first request to the model: ${ms} ms. OpenCode was ready: a cold start takes seconds.`,
  )
}

/** A task that waits for a permission, which a second program gives. */
async function commit(model, scripted, env) {
  step(`A task that asks first: ${commitRequest}`)
  const prompt = scripted ? `${commitRequest}\n\n${commitScript}` : commitRequest
  const {id} = askProgram(['tasks', 'create', prompt, '--title', 'Commit the fix', '--model', model], env)
  const get = () => askProgram(['tasks', 'get', id], env)
  const question = await until(() => get().waiting_for?.[0] ?? (isOver(get()) && {title: ''}), 'the question')
  if (question.title === '') return say('This model did not ask.')
  say(`The agent waits: ${question.title} (${question.options.map(({name}) => name).join(', ')})`)
  step(`In a second terminal: a2a-worker tasks answer ${id.slice(0, 8)} allow`)
  say(run(process.execPath, [cli, 'tasks', 'answer', id, 'allow'], {env}).stdout.trim())
  const task = await until(() => isOver(get()) && get(), 'the task to end')
  if (task.status !== 'completed') throw new Error(`the task ${task.status}: ${task.error}`)
  say(`The agent went on: ${task.result}`)
  say(run('git', ['--no-pager', 'log', '-1', '--format=%h %s']).stdout.trim())
}

const isOver = ({status}) => ['completed', 'failed', 'cancelled'].includes(status)

async function main() {
  step('A repository with a failing program')
  makeRepository()
  say(run(process.execPath, ['calculator.mjs']).stderr.trim())

  const scripted = values.model === undefined ? await scriptedModel() : undefined
  const base = {...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}`}
  for (const name of Object.keys(base)) if (name.startsWith('A2A_')) delete base[name]
  const env = {...base, A2A_STATE_DIR: join(scratch, 'state'), ...settings, ...scripted?.env}
  step('A control plane, a worker, and the real OpenCode')
  const worker = await startWorker(env)
  try {
    await untilWarm()
    const from = Date.now()
    step(`A task: ${request}`)
    const code = await follow(scripted ? `${request}\n\n${script}` : request, values.model ?? scripted.model, env)
    if (code !== 0) throw new Error(`the task ended with exit code ${code}`)
    if (scripted) reportSpeed(from, env)
    step('What changed (git diff)')
    say(run('git', ['--no-pager', 'diff', '--color=always']).stdout.trim())
    step('Running the program again')
    const result = run(process.execPath, ['calculator.mjs'])
    say((result.stdout + result.stderr).trim())
    if (result.status !== 0) throw new Error('the program still fails')
    await commit(values.model ?? scripted.model, scripted !== undefined, env)
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
