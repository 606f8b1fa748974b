import {afterAll, beforeAll, expect, test} from 'vitest'
import type {Task} from '../../src/lib/protocol/schemas.ts'
import {textWidth} from '../../src/lib/ui/text/plain-text.ts'
import {startFleet} from '../support/fleet.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {openTerminal} from '../support/terminal.ts'
import {openWorkshop} from '../support/workshop.ts'

/** A control plane with more tasks than are listed by default, of which the oldest is the most urgent. */
let fleet: Awaited<ReturnType<typeof startFleet>>
let codebase = ''
const ids: string[] = []

beforeAll(async () => {
  fleet = await startFleet()
  codebase = await fleet.http.codebase('far-away', '/srv/a-codebase-with-a-rather-long-name')
  for (let i = 0; i < 130; i++) {
    const more = {title: `Task ${i} ${'long '.repeat(30)}`, priority: i === 0 ? 9 : 0}
    ids.push((await fleet.http.task(codebase, more)).id)
  }
})
afterAll(() => fleet[Symbol.asyncDispose]())

const listed = async (...args: string[]) => {
  const {code, stdout, stderr} = await fleet.cli(['tasks', 'list', '--json', ...args])
  expect(code, stderr).toBe(0)
  return (JSON.parse(stdout) as Task[]).map(({id}) => id)
}

test('list shows the newest tasks first, --oldest the oldest, and --all all of them', async () => {
  const newest = ids.toReversed()
  expect(await listed()).toEqual(newest.slice(0, 100))
  expect(await listed('--limit', '3')).toEqual(newest.slice(0, 3))
  expect(await listed('--oldest', '--limit', '3')).toEqual(ids.slice(0, 3))
  expect(await listed('--all')).toEqual(newest)
  expect((await fleet.cli(['tasks', 'list', '--all', '--limit', '3'])).code).toBe(2)
})

test('list says on stderr when more tasks exist', async () => {
  const hint = 'More tasks exist. Show all with --all'
  expect((await fleet.cli(['tasks', 'list'])).stderr).toContain(hint)
  expect((await fleet.cli(['tasks', 'list', '--all'])).stderr).toBe('')
  expect((await fleet.cli(['tasks', 'list', '--limit', '130'])).stderr).toBe('')
})

test('on a terminal the table fits its width and has short ids, names and coloured states', async () => {
  using terminal = await openTerminal({cwd: fleet.path, env: {...fleet.env, NO_COLOR: ''}, columns: 90})
  await fleet.http.call('POST', `/v1/opencode/tasks/${ids.at(-1)}/cancel`)
  terminal.run('tasks', 'list', '--limit', '4', '--server', fleet.url)
  await terminal.shows('More tasks exist')
  const rows = terminal.screen().split('\n')
  const from = rows.findIndex((row) => row.startsWith('ID '))
  const [heading = '', ...tasks] = rows.slice(from, from + 5)
  expect(heading).toMatch(/^ID +STATUS +CODEBASE +WORKER +AGE +DURATION +COST +TITLE/)
  expect(tasks.map((row) => row.slice(0, 8))).toEqual(
    ids
      .slice(-4)
      .toReversed()
      .map((id) => id.slice(0, 8)),
  )
  expect(tasks.every((row) => / (pending|cancelled) +\/srv\/a-\S*… +- +\d+ s .* Task 12\d/.test(row))).toBe(true)
  expect(rows.every((row) => textWidth(row) <= 90)).toBe(true)
  expect(terminal.coloured()).toMatch(new RegExp(`${String.fromCodePoint(27)}\\[33mpending`))
  terminal.resize(50, 24)
  terminal.type('clear')
  terminal.press('Enter')
  terminal.run('tasks', 'list', '--limit', '4', '--no-color', '--server', fleet.url)
  await terminal.shows(/ID +STATUS[^]*More tasks exist/)
  expect(terminal.screen()).toMatch(/^ID +STATUS (.*)TITLE\n([0-9a-f]{8,} +(pending|cancelled) .*\n){4}/m)
  expect(terminal.coloured()).not.toContain(`${String.fromCodePoint(27)}[33mpending`)
})

test('tables of workers, codebases and sessions fit a narrow terminal too', async () => {
  await fleet.http.call('POST', `/v1/opencode/codebases/${codebase}/sessions/sync`, {
    worker_id: 'far-away',
    sessions: [
      {id: 'ses_alpha1', title: 'A session with a title '.repeat(5), directory: `/srv/${'deep/'.repeat(20)}end`},
    ],
  })
  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env, columns: 60})
  for (const [args, pattern] of [
    [['workers', 'list'], /^ID +NAME +STATE[^]*\nfar-away +far-away +\w+/m],
    [['codebases', 'list'], /^ID +NAME +SERVED +HOST +PATH\n\w+ +\/srv\/\S*… +no +- +…\S*long-name$/m],
    [['sessions', 'list', '--remote', '--codebase', codebase], /^ID +TITLE +UPDATED.*\nses_alph +A session.*… /m],
  ] as const) {
    terminal.type('clear')
    terminal.press('Enter')
    terminal.run(...args, '--server', fleet.url)
    await terminal.shows(pattern)
  }
})

test('from the existing server the newest of the listed tasks come first, and the command says what may be missing', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  server.workers.set('w1', {worker_id: 'w1', name: 'w', last_seen: new Date()} as never)
  const {id} = server.registerCodebase({name: 'p', path: '/srv/p', worker_id: 'w1'})
  const run = (...args: string[]) => shop.cli(['tasks', 'list', '--server', server.url, ...args])
  const order = async (...args: string[]) =>
    (JSON.parse((await run('--json', ...args)).stdout) as Task[]).map(({prompt}) => prompt)
  for (let i = 0; i < 3; i++) {
    server.trigger(id, {prompt: `p${i}`}).created_at = new Date(2026, 0, 1, 0, i)
  }
  expect(await order()).toEqual(['p2', 'p1', 'p0'])
  expect(await order('--oldest', '--limit', '2')).toEqual(['p0', 'p1'])
  expect((await run()).stderr).toBe('')
  for (let i = 0; i < 110; i++) server.trigger(id, {prompt: 'more'})
  expect((await run()).stderr).toContain('This server lists at most 100 tasks')
})
