// Takes the pictures in docs/pictures: a worker with its dashboard in a real terminal (tmux), the real OpenCode with the
// scripted model of the demo, and the monitor page in Chromium. Needs tmux and /usr/bin/chromium.
import {execFileSync, spawnSync} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {chromium} from 'playwright-core'
import {openCodeEnvironment} from '../../demo/model/opencode-environment.mjs'
import {createFakeModel} from '../../demo/model/server.mjs'
import {terminalSvg} from './terminal-svg.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const target = join(root, 'docs/pictures')
const scratch = mkdtempSync(join(tmpdir(), 'a2a-pictures-'))
const codebase = join(scratch, 'calculator')
const socket = `a2a-pictures-${process.pid}`

const {server} = createFakeModel()
server.listen(0, '127.0.0.1')
await once(server, 'listening')

const env = {
  PATH: `${join(scratch, 'bin')}:${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
  HOME: join(scratch, 'home'),
  LANG: 'C.UTF-8',
  COLORTERM: 'truecolor',
  A2A_STATE_DIR: join(scratch, 'state'),
  A2A_WORKER_NAME: 'build-host',
  A2A_GLOBAL_CODEBASE: 'none',
  A2A_EXECUTOR: 'acp',
  A2A_WARM_AGENTS: '1',
  A2A_MAX_CONCURRENT_TASKS: '3',
  A2A_PERMISSIONS: JSON.stringify({bash: {'*': 'allow', 'git*commit*': 'ask'}}),
  OPENCODE_MODELS_PATH: join(root, 'test/fixtures/no-models.json'),
  OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
  ...openCodeEnvironment(server.address().port),
}

const fix =
  '[fake:bash cmd="node calculator.mjs"] [fake:read path=calculator.mjs] [fake:replace path=calculator.mjs old="a - b" new="a + b"] [fake:bash cmd="node calculator.mjs"] [fake:text say="The function add subtracted. Now it adds, and the program passes."]'
const commit = '[fake:bash cmd="git commit -qam Fix-the-calculator"] [fake:text say="Committed."]'
const slow = '[fake:read path=README.md] [fake:slow tokens=4000 every_ms=100]'

const tmux = (...args) =>
  execFileSync('tmux', ['-L', socket, '-f', join(scratch, 'tmux.conf'), ...args], {encoding: 'utf8', env})
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
async function until(look, what) {
  for (const end = Date.now() + 40_000; Date.now() < end; await sleep(100)) if (await look()) return
  throw new Error(`gave up waiting for ${what}:\n${tmux('capture-pane', '-p', '-t', 'p:dashboard')}`)
}

const program = (...args) => execFileSync('a2a-worker', args, {cwd: codebase, env, encoding: 'utf8'})
const task = (title, prompt, ...args) =>
  program('tasks', 'create', `${title}\n\n${prompt}`, '--title', title, ...args).trim()

function prepare() {
  for (const folder of ['bin', 'home']) mkdirSync(join(scratch, folder))
  writeFileSync(
    join(scratch, 'bin/a2a-worker'),
    `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'bin/run.js')}' "$@"\n`,
    {mode: 0o755},
  )
  for (const folder of [codebase, join(scratch, 'website')]) {
    mkdirSync(folder)
    writeFileSync(join(folder, 'README.md'), '# A program\n')
    writeFileSync(
      join(folder, 'calculator.mjs'),
      "const add = (a, b) => a - b\nif (add(2, 3) !== 5) {\n  console.error('FAIL: add(2, 3) is', add(2, 3))\n  process.exit(1)\n}\nconsole.log('PASS: add(2, 3) is 5')\n",
    )
    const git = (...args) => execFileSync('git', ['-C', folder, ...args])
    git('init', '-q')
    for (const [key, value] of Object.entries({'user.name': 'demo', 'user.email': 'demo@localhost'}))
      git('config', key, value)
    git('add', '.')
    git('commit', '-q', '-m', 'A calculator')
  }
  mkdirSync(target, {recursive: true})
  writeFileSync(join(scratch, 'tmux.conf'), 'set -g remain-on-exit on\nset -g default-terminal tmux-256color\n')
}

/** A window of a terminal, in which a command runs. */
function openWindow(name, {columns, rows}, command) {
  const isFirst = name === 'dashboard'
  const place = ['-n', name, '-c', codebase]
  if (isFirst) tmux('new-session', '-d', '-s', 'p', '-x', `${columns}`, '-y', `${rows}`, ...place, command)
  else tmux('new-window', '-d', '-t', 'p', ...place, command)
  tmux('resize-window', '-t', `p:${name}`, '-x', `${columns}`, '-y', `${rows}`)
}
const screen = (name) => tmux('capture-pane', '-p', '-t', `p:${name}`)
const draw = (name, file, size) =>
  writeFileSync(join(target, file), terminalSvg(tmux('capture-pane', '-p', '-e', '-t', `p:${name}`), size))

async function terminals() {
  const small = {columns: 80, rows: 24}
  const large = {columns: 120, rows: 40}
  openWindow(
    'dashboard',
    small,
    `a2a-worker start --local --codebase api:${codebase} --codebase website:${join(scratch, 'website')}`,
  )
  await until(() => screen('dashboard').includes('stream'), 'the worker')
  await sleep(8000) // OpenCode is warmed up
  const model = ['--model', 'fake/x']
  openWindow(
    'follow',
    small,
    `sleep 1; printf '$ a2a-worker tasks create --file prompt.md --follow\\n'; a2a-worker tasks create --file ../prompt.md --title 'Fix the calculator' --model fake/x --follow; sleep 100`,
  )
  await until(() => /completed|cost/.test(screen('follow')), 'the task to end')
  await sleep(500)
  draw('follow', 'follow-80x24.svg', small)
  task('Commit the fix', commit, ...model)
  task('Describe the website', slow, ...model, '--codebase', 'website')
  await until(() => screen('dashboard').includes('git commit'), 'the question')
  task('Write a test for subtraction', fix, ...model)
  task('Update the changelog', fix, ...model)
  await sleep(2500)
  draw('dashboard', 'dashboard-80x24.svg', small)
  tmux('resize-window', '-t', 'p:dashboard', '-x', '120', '-y', '40')
  await sleep(2000)
  draw('dashboard', 'dashboard-120x40.svg', large)
}

async function page() {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu'],
  })
  try {
    const tab = await browser.newPage({
      viewport: {width: 1100, height: 760},
      colorScheme: 'light',
      reducedMotion: 'reduce',
    })
    await tab.goto(JSON.parse(program('open', '--json')).url)
    const enter = tab.getByRole('button').first()
    if (/link/.test(tab.url()) && (await enter.count()) > 0) await enter.click()
    await tab.waitForTimeout(1500)
    await photograph(tab, 'page-overview.png')
    const [done] = JSON.parse(program('tasks', 'list', '--status', 'completed', '--json'))
    await tab.goto(new URL(`/ui/tasks/${done.id}`, tab.url()).href)
    await tab.waitForTimeout(1500)
    // Below is the prompt, which is a script here.
    await photograph(tab, 'page-task.png', {x: 0, y: 0, width: 1100, height: 575})
  } finally {
    await browser.close()
  }
}

try {
  prepare()
  writeFileSync(join(scratch, 'prompt.md'), `The program fails. Fix it.\n\n${fix}\n`)
  await terminals()
  await page()
} finally {
  try {
    program('stop', '--cancel', '--timeout', '60')
  } catch {
    // it did not start, or ends by itself
  }
  try {
    tmux('kill-server')
  } catch {
    // no window was opened
  }
  server.closeAllConnections()
  server.close()
  rmSync(scratch, {recursive: true, force: true, maxRetries: 5})
}

/** Takes a picture of a page. Few colours make it a third as large: the package contains it. */
async function photograph(tab, name, clip) {
  const path = join(target, name)
  await tab.screenshot({path, ...(clip ? {clip} : {})})
  const {error, status} = spawnSync('pngquant', ['--force', '--ext', '.png', '--nofs', '16', path])
  if (error || status !== 0) throw new Error('the pictures need pngquant (Debian package: pngquant)', {cause: error})
  const packed = spawnSync('optipng', ['-quiet', '-o5', '-strip', 'all', path])
  if (packed.error) throw new Error('the pictures need optipng (Debian package: optipng)', {cause: packed.error})
}
