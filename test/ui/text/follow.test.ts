import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFleet} from '../../support/fleet.ts'
import {startOpenCodeFleet} from '../../support/opencode-fleet.ts'
import {startProxy} from '../../support/proxy.ts'
import {ReferenceServer} from '../../support/reference-server.ts'
import {repository, until} from '../../support/scratch.ts'
import {openTerminal} from '../../support/terminal.ts'
import {openWorkshop} from '../../support/workshop.ts'

test('a running tool is shown while it runs: on the line of --follow, in the dashboard and in the status', async () => {
  await using fleet = await startOpenCodeFleet()
  const path = repository(join(fleet.path, 'one'))
  await fleet.worker('box', [path])
  using watching = await openTerminal({cwd: fleet.path, env: fleet.env, columns: 120})
  watching.run('dashboard')
  await watching.shows('No active and no waiting tasks.')
  using terminal = await openTerminal({cwd: path, env: fleet.env, columns: 100})
  const stop = join(fleet.path, 'stop')
  const prompt = `[fake:bash cmd="until test -e ${stop}; do sleep 0.2; done"] [fake:text say=Finished.]`
  terminal.run('tasks', 'create', `'${prompt}'`, '--follow', '--server', fleet.url)
  await terminal.shows(/^taken by box · OpenCode is starting, \d+ s$/m)
  await watching.shows(/❯ \w+ running .*OpenCode is starting, \d+ s/)
  await terminal.shows(/^taken by box · running bash until test -e .*, \d+ s$/m)
  await watching.shows(/▸ running bash until test -e .*sleep 0\.2; done, \d+ s/)
  expect((await fleet.cli(['status'])).stdout).toMatch(/running bash until test/)
  const [task] = (await fleet.http.call('GET', '/v1/opencode/tasks?limit=1')).body
  expect((await fleet.cli(['tasks', 'get', task.id])).stdout).toMatch(/^doing +running bash until test .*, \d+ s$/m)
  writeFileSync(stop, '')
  await terminal.shows(/^✓ bash .*\nFinished\.\nTokens: .*\n\$/m)
  expect(terminal.screen()).not.toContain('taken by')
}, 180_000)

test('without a terminal --wait prints a line for each change: who took the task, and what the agent does', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'one'))
  const codebase = await fleet.http.codebase('w', path)
  const waiting = fleet.start(['tasks', 'create', '@lines=1 @ms=4000', '--codebase', codebase, '--wait'])
  await until(() => /^Waiting: worker w has no open stream/m.test(waiting.stderr()), 'the reason')
  await fleet.worker('box', [path])
  const task = fleet.start(['tasks', 'create', '@lines=1 @ms=3000', '--codebase', path, '--wait'])
  expect((await task.finished).code).toBe(0)
  const lines = task.stderr().trim().split('\n')
  expect(lines).toContain('Taken by box')
  expect(new Set(lines).size).toBe(lines.length) // no clock, no repetition
  waiting.process.kill('SIGKILL')
})

test('a task of short steps causes no further heartbeat', async () => {
  await using fleet = await startFleet()
  await using proxy = await startProxy(fleet.url)
  const path = repository(join(fleet.path, 'one'))
  await fleet.workerAt(proxy.url, 'w', [path])
  const codebase = await fleet.codebaseId(path)
  const isHeartbeat = (request: string) => request.endsWith('/heartbeat')
  const before = proxy.requests.filter(isHeartbeat).length
  for (let i = 0; i < 8; i++) await fleet.ended((await fleet.http.task(codebase, {prompt: '@lines=1'})).id)
  expect(proxy.requests.filter(isHeartbeat).length - before).toBeLessThanOrEqual(1) // the regular one
})

test('on the existing server the states that it knows are shown', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const path = repository(join(shop.path, 'one'))
  await shop.worker(server.url, 'w', [path])
  const task = server.trigger(server.codebaseId(path), {prompt: '@lines=1 @ms=3000'})
  const {code, stderr} = await shop.cli(['tasks', 'output', task.id, '--follow', '--server', server.url])
  expect(code, stderr).toBe(0)
  expect(stderr).toMatch(/^Taken by /m)
  expect(stderr).toMatch(/^(The agent works|OpenCode is starting)$/m)
})
