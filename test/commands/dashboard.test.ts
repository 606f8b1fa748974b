import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {root, stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {openTerminal} from '../support/terminal.ts'

const before = 'what was here before'

test('dashboard attaches to a running worker, shows its history, controls it, and can be closed without effect on the worker', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const worker = await fleet.worker('w', [path])
  const codebase = await fleet.codebaseId(path)
  const done = await fleet.http.task(codebase, {title: 'Early', prompt: '@lines=1'})
  await fleet.ended(done.id)
  const {id} = await fleet.http.task(codebase, {title: 'Hanging', prompt: '@lines=20 @hang'})
  await until(async () => (await fleet.output(id)).includes('line 19'), 'the output')

  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env})
  terminal.type(`clear; echo ${before}`)
  terminal.press('Enter')
  await terminal.shows(new RegExp(`^${before}$`, 'm'))
  terminal.run('dashboard')
  await terminal.shows(/w running .*stream since[^]*❯ .{8} running .* Hanging[^]*line 19/)
  const waits = await fleet.http.task(codebase, {title: 'Waiting', prompt: '@lines=1'})
  await terminal.shows(new RegExp(`${waits.id.slice(0, 8)} waits .*Waiting +working tree busy`))
  terminal.press('5')
  await terminal.shows(/❯ .* completed .*Early/)
  terminal.press('3')
  await terminal.shows(/Executing task .*\n.*Hanging/)

  terminal.press('1', 'p')
  await terminal.shows('w running paused')
  expect((await fleet.cli(['status'])).stdout).toMatch(/^worker +w .*, running, paused\n/)
  terminal.press('p')
  await terminal.hides('paused')
  terminal.press('c')
  await terminal.shows('Cancel task')
  terminal.press('y')
  expect((await fleet.ended(id)).status).toBe('cancelled')
  expect((await fleet.ended(waits.id)).status).toBe('completed')
  await terminal.shows('2 done · 1 cancelled')

  terminal.press('q')
  await until(() => terminal.jobs().length === 0, 'the dashboard to end')
  await terminal.isRestored(before)
  terminal.run('dashboard', '--name', 'w')
  await terminal.shows('w running')
  terminal.press('C-c')
  await until(() => terminal.jobs().length === 0, 'the dashboard to end')
  expect(worker.process.exitCode).toBe(null)

  terminal.run('dashboard', '--name', 'w')
  await terminal.shows('w running')
  terminal.press('d')
  await terminal.shows('Take no more tasks')
  terminal.press('y')
  expect((await worker.finished).code).toBe(0)
  await terminal.shows(/w stopped .*down since/)
})

test('an attached dashboard waits while the worker is down, and attaches to the next one', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const first = await fleet.worker('w', [path])
  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env, columns: 120})
  terminal.run('dashboard')
  await terminal.shows('w running')
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {title: 'Hanging', prompt: '@hang'})
  await terminal.shows(/running +\d+:.* Hanging/)
  await stop(first, 'SIGKILL')
  await terminal.shows(/w stopped .*down since .*the worker does not run; waiting for its next start/)
  await terminal.hides('Hanging')
  terminal.press('p')
  await terminal.shows('The worker does not run.')
  await fleet.worker('w', [path])
  // The agent has outlived its worker, and the next worker adopts it.
  await terminal.shows(new RegExp(`w running .*stream since[^]*❯ ${id.slice(0, 8)} running .*Hanging[^]*line 0`))
  terminal.press('c')
  await terminal.shows('Cancel task')
  terminal.press('y')
  expect((await fleet.ended(id)).status).toBe('cancelled')
})

test('with several workers, dashboard asks which one', async () => {
  await using fleet = await startFleet()
  const [a = '', b = ''] = ['a', 'b'].map((name) => repository(join(fleet.path, name)))
  await fleet.worker('one', [a])
  await fleet.worker('two', [b])
  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env})
  terminal.run('dashboard')
  await terminal.shows(/Several workers run here:\n {2}1 {2}one {2}\(pid \d+, http.*\n {2}2 {2}two /)
  terminal.type('7')
  terminal.press('Enter')
  await terminal.shows(/Which one\? 7[^]*Which one\?$/)
  terminal.type('2')
  terminal.press('Enter')
  await terminal.shows('two running')
  terminal.press('q')
  await until(() => terminal.jobs().length === 0, 'the dashboard to end')
  terminal.type('clear')
  terminal.press('Enter')
  await until(() => terminal.screen() === '$', 'a clear screen')
  terminal.run('dashboard')
  await terminal.shows('Which one?')
  terminal.press('C-c')
  await until(() => terminal.jobs().length === 0, 'the command to end')
  terminal.type('echo code $?')
  terminal.press('Enter')
  await terminal.shows('code 130')
})

test('without a worker dashboard exits 69, without a terminal 2, each with a suggestion', async () => {
  await using fleet = await startFleet()
  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env})
  terminal.run('dashboard; echo code $?')
  await terminal.shows(/Error: No worker runs on this machine for this user\.\n.*a2a-worker start[^]*code 69/)
  terminal.run('dashboard --name x; echo code $?')
  await terminal.shows('Error: No worker named x runs on this machine')
  expect(await fleet.cli(['dashboard'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/The dashboard needs a terminal\.\n.*a2a-worker status/),
  })
})

test('a worker without a dashboard loads no modules of the dashboard or of commands that write settings', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const log = join(fleet.path, 'modules')
  const env = {...fleet.env, NODE_OPTIONS: `--import ${join(root, 'test/fixtures/log-modules.mjs')}`, MODULES_LOG: log}
  const heavy = /node_modules\/(ink|react|react-reconciler|yoga-layout|conf|ajv)\//
  const loaded = () => readFileSync(log, 'utf8').split('\n')
  using terminal = await openTerminal({cwd: fleet.path, env})
  terminal.run('start', '--server', fleet.url, '--codebase', path, '--name', 'w', '--no-dashboard')
  await terminal.shows('Task stream connected')
  const {id} = await fleet.http.task(await fleet.codebaseId(path), {prompt: '@lines=1'})
  await fleet.ended(id)
  expect(loaded().filter((url) => url.includes('worker/worker.js'))).toHaveLength(1)
  expect(loaded().filter((url) => heavy.test(url))).toEqual([])
  terminal.press('C-c')
  await until(() => terminal.jobs().length === 0, 'the worker to end')
  // With the dashboard, to prove that the check itself works.
  terminal.run('start', '--server', fleet.url, '--codebase', path, '--name', 'w')
  await terminal.shows('w running')
  expect(loaded().filter((url) => heavy.test(url)).length).toBeGreaterThan(10)
  // The development build would be many times slower.
  expect(loaded().join('\n')).toContain('react-reconciler.production.js')
})
