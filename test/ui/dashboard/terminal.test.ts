import {existsSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {root, stubAgent} from '../../support/cli.ts'
import {startFleet} from '../../support/fleet.ts'
import {startProxy} from '../../support/proxy.ts'
import {repository, until} from '../../support/scratch.ts'
import {openTerminal, type Terminal} from '../../support/terminal.ts'

type Fleet = Awaited<ReturnType<typeof startFleet>>

const before = 'what was here before'

/** A terminal with a started worker, and with earlier text on the screen. */
async function startHere(fleet: Fleet, {codebases, args = [], env = {}}: Start) {
  const terminal = await openTerminal({cwd: fleet.path, env: {...fleet.env, ...env}})
  terminal.type(`clear; echo ${before}`)
  terminal.press('Enter')
  await terminal.shows(new RegExp(`^${before}$`, 'm'))
  const list = codebases.flatMap((path) => ['--codebase', path])
  terminal.run('start', '--server', fleet.url, '--name', 'w', ...list, ...args)
  await terminal.shows(/w running .*stream since/)
  return terminal
}

type Start = {codebases: string[]; args?: string[]; env?: Record<string, string>}

/** Two git repositories in the scratch folder. */
const twoCodebases = (fleet: Fleet) => ['a', 'b'].map((name) => repository(join(fleet.path, name)))

async function isEnded(terminal: Terminal) {
  await until(() => terminal.jobs().length === 0, 'the worker to end')
}

test('a worker on a terminal shows its tasks, reacts to keys, and restores the screen', async () => {
  await using fleet = await startFleet()
  const codebases = twoCodebases(fleet)
  using terminal = await startHere(fleet, {codebases})
  await terminal.shows('No active and no waiting tasks.')
  const [a = '', b = ''] = await Promise.all(codebases.map((path) => fleet.codebaseId(path)))
  const first = await fleet.http.task(a, {title: 'First 日本語', prompt: '@lines=30 @hang'})
  const second = await fleet.http.task(b, {title: 'Second', prompt: '@lines=3 @hang'})
  const third = await fleet.http.task(b, {title: 'Third', prompt: '@lines=1'})
  await terminal.shows(new RegExp(`❯ ${first.id.slice(0, 8)} running +0:\\d\\d +a +First 日本語`))
  await terminal.shows(/── First|line 29/)
  await terminal.shows(new RegExp(`${third.id.slice(0, 8)} waits .* Third +working tree busy`))
  terminal.press('j')
  await terminal.shows(new RegExp(`❯ ${second.id.slice(0, 8)} [^]*── ${second.id.slice(0, 8)} Second[^]*line 2`))

  terminal.press('c')
  await terminal.shows(new RegExp(`Cancel task ${second.id.slice(0, 8)} \\(Second\\)\\?`))
  terminal.press('n')
  await terminal.hides('Cancel task')
  terminal.press('c')
  await terminal.shows('Cancel task')
  terminal.press('y')
  expect((await fleet.ended(second.id)).status).toBe('cancelled')
  expect((await fleet.ended(third.id)).status).toBe('completed')
  await terminal.shows('1 done · 1 cancelled')

  terminal.press('p')
  await terminal.shows('w running paused')
  const fourth = await fleet.http.task(b, {title: 'Fourth', prompt: '@lines=1'})
  await terminal.shows(/waits .* Fourth/)
  terminal.press('p')
  await terminal.hides('paused')
  expect((await fleet.ended(fourth.id)).status).toBe('completed')
  await terminal.shows('2 done')

  terminal.resize(100, 30)
  await until(() => terminal.screen().split('\n').length === 30, 'the screen to fill 30 lines')
  await terminal.shows(/\? help[^\n]*d drain$/)
  terminal.resize(60, 15)
  await until(() => terminal.screen().split('\n').length === 15, 'the screen to fill 15 lines')
  await terminal.shows(/^ w running[^]*\n ? \? help[^\n]*…$/)
  terminal.resize(80, 24)
  await until(() => terminal.screen().split('\n').length === 24, 'the screen to fill 24 lines')
  for (const [key, text] of [
    ['2', '[2 Output]'],
    ['3', 'Resumed: the worker takes tasks again'],
    ['4', `served  ${codebases[0]}`],
    ['5', 'completed'],
    ['?', 'select a task'],
  ]) {
    terminal.press(key ?? '')
    await terminal.shows(text ?? '')
  }

  terminal.press('x', '1')
  await terminal.shows('[1 Tasks 1]')
  terminal.press('q')
  await terminal.shows('Quit? The worker takes no more tasks and finishes the 1 active.')
  terminal.press('y')
  await terminal.shows(/w draining[^]*repeat to cancel them/)
  terminal.press('q', 'y')
  await isEnded(terminal)
  await terminal.shows('Worker w stopped. Tasks: 2 completed, 1 failed, 1 cancelled')
  await terminal.isRestored(before)
  expect((await fleet.ended(first.id)).error).toBe('Worker shut down while the task ran')
})

test('Ctrl-C drains, a second one cancels tasks, a third exits at once; the screen is always restored', async () => {
  await using fleet = await startFleet({env: {A2A_CANCEL_GRACE: '600'}})
  const codebases = twoCodebases(fleet)
  using terminal = await startHere(fleet, {codebases})
  terminal.press('C-c')
  await isEnded(terminal)
  await terminal.isRestored(before)

  terminal.type(`echo ${before}`)
  terminal.press('Enter')
  terminal.run('start', '--server', fleet.url, '--name', 'w', '--codebase', codebases[0] ?? '')
  await terminal.shows('stream since')
  const {id} = await fleet.http.task(await fleet.codebaseId(codebases[0] ?? ''), {prompt: '@hang @trap'})
  await until(async () => (await fleet.http.get(id)).session_id, 'the task to run')
  terminal.press('C-c')
  await terminal.shows(/w draining[^]*repeat to cancel them/)
  terminal.press('C-c')
  await terminal.shows(/stopping[^]*repeat to exit at once/)
  terminal.press('C-c')
  await isEnded(terminal)
  await terminal.isRestored(before)
})

test('a SIGTERM from another process drains under the dashboard too', async () => {
  await using fleet = await startFleet()
  using terminal = await startHere(fleet, {codebases: twoCodebases(fleet)})
  for (const pid of terminal.jobs()) process.kill(pid, 'SIGTERM')
  await isEnded(terminal)
  await terminal.isRestored(before)
})

test('SIGHUP reloads under the dashboard too, and the dashboard shows the new slots', async () => {
  await using fleet = await startFleet()
  const file = join(fleet.path, 'worker.json')
  writeFileSync(file, '{}')
  using terminal = await startHere(fleet, {codebases: twoCodebases(fleet), args: ['--config', file]})
  await terminal.shows('slots 0/2')
  writeFileSync(file, '{"max_concurrent_tasks": 7}')
  for (const pid of terminal.jobs()) process.kill(pid, 'SIGHUP')
  await terminal.shows('slots 0/7')
  terminal.press('3')
  await terminal.shows('Settings reloaded: max_concurrent_tasks')
  terminal.press('q')
  await isEnded(terminal)
})

test('when the terminal is closed the worker drains', async () => {
  await using fleet = await startFleet()
  const codebases = twoCodebases(fleet)
  const log = join(fleet.path, 'worker.log')
  const terminal = await startHere(fleet, {codebases, args: [`2>${log}`]})
  const [pid = 0] = terminal.jobs()
  const {id} = await fleet.http.task(await fleet.codebaseId(codebases[0] ?? ''), {prompt: '@hang'})
  await until(async () => (await fleet.http.get(id)).session_id, 'the task to run')
  terminal[Symbol.dispose]()
  await until(() => readFileSync(log, 'utf8').includes('Worker is draining'), 'the worker to drain')
  const waits = await fleet.http.task(await fleet.codebaseId(codebases[1] ?? ''))
  await until(async () => (await fleet.http.get(waits.id)).waiting, 'the worker to take nothing more')
  expect((await fleet.http.get(id)).status).toBe('running')
  await fleet.http.call('POST', `/v1/opencode/tasks/${id}/cancel`)
  expect((await fleet.ended(id)).status).toBe('cancelled')
  await until(() => !existsSync(`/proc/${pid}`), 'the worker to leave')
  expect((await fleet.http.get(waits.id)).status).toBe('pending')
})

test('Ctrl-Z returns the terminal and fg takes it again, also after SIGSTOP', async () => {
  await using fleet = await startFleet()
  using terminal = await startHere(fleet, {codebases: twoCodebases(fleet)})
  const [pid = 0] = terminal.jobs()
  terminal.press('C-z')
  await terminal.shows('Stopped')
  await terminal.isRestored('Stopped')
  terminal.type('fg')
  terminal.press('Enter')
  await terminal.shows(/w running .*stream since/)
  expect(terminal.isAlternate()).toBe(true)
  terminal.press('3')
  await terminal.shows('[3 Log]')

  process.kill(pid, 'SIGSTOP')
  await until(() => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')), 'the process to be stopped')
  terminal.type('fg')
  terminal.press('Enter')
  await until(() => !/ T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')), 'the process to go on')
  await terminal.shows(/w running .*stream since/)
  await terminal.hides('Stopped')
  terminal.press('4')
  await terminal.shows('[4 Codebases]')
  terminal.press('q')
  await isEnded(terminal)
})

test('after a crash of the process the shell has its screen and the error message', async () => {
  await using fleet = await startFleet()
  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env})
  terminal.type(`clear; echo ${before}`)
  terminal.press('Enter')
  await terminal.shows(new RegExp(`^${before}$`, 'm'))
  terminal.type(`${process.execPath} ${join(root, 'test/fixtures/crashing-dashboard.mjs')}`)
  terminal.press('Enter')
  await terminal.shows('on the brink')
  terminal.press('p')
  await terminal.shows('Error: the crash')
  await isEnded(terminal)
  expect(terminal.screen()).toContain(before)
  await terminal.isRestored('')
})

test('a failed dashboard restores the terminal, and its process keeps running', async () => {
  await using fleet = await startFleet()
  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env})
  terminal.type(`${process.execPath} ${join(root, 'test/fixtures/crashing-dashboard.mjs')} draw`)
  terminal.press('Enter')
  await terminal.shows('still here: the drawing failed')
  await isEnded(terminal)
  await terminal.isRestored('')
})

test('colours are used, except with NO_COLOR or --no-color', async () => {
  await using fleet = await startFleet({env: {NO_COLOR: ''}})
  const [path = ''] = twoCodebases(fleet)
  const colours = new RegExp(`${String.fromCodePoint(27)}\\[(3[1-7]|9\\d|[34]8[;:])`)
  const starts: [boolean, Partial<Start>][] = [
    [true, {}],
    [false, {env: {NO_COLOR: '1'}}],
    [false, {args: ['--no-color']}],
  ]
  for (const [isColoured, start] of starts) {
    using terminal = await startHere(fleet, {codebases: [path], ...start})
    expect(colours.test(terminal.coloured())).toBe(isColoured)
    terminal.press('C-c')
    await isEnded(terminal)
  }
})

test('without the dashboard log lines are printed; with stderr redirected there are both', async () => {
  await using fleet = await startFleet()
  const [path = ''] = twoCodebases(fleet)
  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env, columns: 160})
  const base = ['start', '--server', fleet.url, '--codebase', path, '--name', 'w']
  for (const args of [['--no-dashboard'], ['--log-format', 'json'], ['2>&1', '|', 'cat'], ['&']]) {
    terminal.run(...base, ...args)
    await terminal.shows(/Task stream connected/)
    expect(terminal.isAlternate()).toBe(false)
    if (args.includes('&')) {
      const [pid = 0] = terminal.jobs()
      terminal.run('status')
      await terminal.shows('in use')
      terminal.type('fg')
      terminal.press('Enter')
      await until(() => terminal.isForeground(pid), 'the worker to be in the foreground')
    }

    terminal.press('C-c')
    await isEnded(terminal)
    terminal.type('clear')
    terminal.press('Enter')
    await until(() => terminal.screen() === '$', 'a clear screen')
  }

  terminal.run(...base, '2>log')
  await terminal.shows(/w running .*stream since/)
  expect(readFileSync(join(fleet.path, 'log'), 'utf8')).toContain('Task stream connected')
  terminal.press('C-c')
  await isEnded(terminal)
  expect(readFileSync(join(fleet.path, 'log'), 'utf8')).toContain('Worker is stopped')
})

test('n creates a task and c cancels a waiting one, in the dashboard of the worker and in an attached one', async () => {
  await using fleet = await startFleet()
  const [path = ''] = twoCodebases(fleet)
  using terminal = await startHere(fleet, {codebases: [path]})
  using attached = await openTerminal({cwd: fleet.path, env: fleet.env})
  await terminal.shows('Press n to create one')
  terminal.press('n')
  await terminal.shows('New task for a:')
  terminal.type('@hang @lines=1')
  terminal.press('Enter')
  await terminal.shows(/Created task [0-9a-f]{8}\.|❯ .* running .* @hang/)
  attached.run('dashboard')
  await attached.shows(/❯ .* running .* @hang/)
  for (const [i, screen] of [terminal, attached].entries()) {
    screen.press('n')
    await screen.shows('New task for a:')
    screen.type(`Later ${i}`)
    screen.press('Enter')
    await screen.shows(new RegExp(`waits .* Later ${i}`))
    screen.press('j', 'c')
    await screen.shows(/Cancel task .* \(Later \d\)\?/)
    screen.press('y')
    await screen.hides(`Later ${i}`)
  }
  const tasks = (await fleet.http.call('GET', '/v1/opencode/tasks?limit=9&order=oldest')).body
  expect(tasks.map(({title, status}: Record<string, string>) => `${title} ${status}`)).toEqual([
    '@hang @lines=1 running',
    'Later 0 cancelled',
    'Later 1 cancelled',
  ])
  attached.press('q')
  await isEnded(attached)
})

/** An OpenCode that prints its version when this file exists. */
function slowOpenCode(folder: string) {
  const [binary, isReady] = [join(folder, 'slow-opencode'), join(folder, 'is-ready')]
  const wait = `if [ "$1" = --version ]; then until [ -e ${isReady} ]; do sleep 0.1; done; fi`
  writeFileSync(binary, `#!/bin/sh\n${wait}\nexec ${stubAgent} "$@"\n`, {mode: 0o755})
  return {binary, ready: () => writeFileSync(isReady, '')}
}

test('the dashboard of a start is drawn before anything is waited for, and says what it waits for', async () => {
  await using fleet = await startFleet()
  const [path = ''] = twoCodebases(fleet)
  const {binary, ready} = slowOpenCode(fleet.path)
  await using proxy = await startProxy(fleet.url)
  proxy.rule = () => 'silence'
  using terminal = await openTerminal({cwd: fleet.path, env: {...fleet.env, OPENCODE_BIN_PATH: binary}})
  terminal.run('start', '--server', proxy.url, '--name', 'w', '--codebase', path)
  await terminal.shows(/w idle[^]*Starting: asking OpenCode for its version, \d+ s/)
  ready()
  await terminal.shows(new RegExp(`w starting[^]*Starting: registering with ${proxy.url}, \\d+ s`))
  terminal.press('n')
  await terminal.shows('No codebase is served.')
  proxy.rule = () => 'pass'
  proxy.cut(/./)
  await terminal.shows(/w running[^]*Press n to create one/)
  terminal.press('q')
  await isEnded(terminal)
})

test('q leaves a start at once, and a start that fails restores the terminal and says why', async () => {
  await using fleet = await startFleet()
  const [path = ''] = twoCodebases(fleet)
  const {binary} = slowOpenCode(fleet.path)
  using terminal = await openTerminal({cwd: fleet.path, env: {...fleet.env, OPENCODE_BIN_PATH: binary}})
  terminal.type(`clear; echo ${before}`)
  terminal.press('Enter')
  await terminal.shows(new RegExp(`^${before}$`, 'm'))
  const start = ['start', '--server', fleet.url, '--name', 'w', '--codebase', path]
  terminal.run(...start)
  await terminal.shows('Starting: asking OpenCode')
  terminal.press('q')
  await isEnded(terminal)
  await terminal.isRestored(before)
  writeFileSync(binary, '#!/bin/sh\nsleep 0.5\necho no version\n')
  terminal.run(...start)
  await terminal.shows(/Error: .*\n? +→/)
  await isEnded(terminal)
  await terminal.isRestored('')
})
