import {writeFileSync} from 'node:fs'
import {DatabaseSync} from 'node:sqlite'
import {expect, test} from 'vitest'
import {systemClock, type Clock} from '../../src/lib/core/clock.ts'
import {migrate, openDatabase} from '../../src/lib/core/sqlite.ts'
import type {AuditEntry} from '../../src/lib/protocol/audit-schemas.ts'
import {parseTokens} from '../../src/lib/server/http/auth.ts'
import {migrations} from '../../src/lib/server/store/migrations.ts'
import {auditPruner, sqliteAuditViews} from '../../src/lib/server/store/sqlite-audit.ts'
import {changeWriter} from '../../src/lib/server/store/sqlite-changes.ts'
import type {NewAuditEntry} from '../../src/lib/server/state/decision.ts'
import {startFleet} from '../support/fleet.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {openWorkshop} from '../support/workshop.ts'
import {Api} from '../server/support/api.ts'
import {scratch, startPlane, until} from '../server/support/plane.ts'

const tokens = parseTokens('me:admin, ci/client:client, box/worker:worker, spare/worker:spare')

const entries = async (api: Api, query: Record<string, string | number> = {}): Promise<AuditEntry[]> =>
  (await api.get('audit', {}, {query})).body.entries
/** The time of the system, moved by this much. */
function movedClock(ms = 0): Clock & {advance: (ms: number) => void} {
  let moved = ms
  return {
    now: () => systemClock.now() + moved,
    monotonic: () => systemClock.monotonic() + moved,
    sleep: systemClock.sleep,
    advance: (more) => void (moved += more),
  }
}

const brief = ({what, who, worker_id, count}: AuditEntry) => [what, who, worker_id, count]

test('the audit says which token created, cancelled, retried and ended a task, and so does the task', async () => {
  await using plane = await startPlane({tokens})
  const [admin, ci, box] = ['admin', 'client', 'worker'].map((token) => new Api(plane.url, token)) as [Api, Api, Api]
  await box.registerOwn('W')
  const codebase = await box.codebase('W', '/code')
  const {id} = await ci.create(codebase)
  await box.claim(id, 'W')
  await admin.post('taskCancel', {task: id})
  expect(await admin.task(id)).toMatchObject({created_by: 'ci', cancelled_by: 'me', retried_by: null})
  await box.report(id, 'W', 'cancelled', {attempt: 1})
  await ci.post('taskRetry', {task: id})
  expect(await admin.task(id)).toMatchObject({created_by: 'ci', cancelled_by: null, retried_by: 'ci'})
  await box.claim(id, 'W')
  await box.report(id, 'W', 'failed', {attempt: 2, error: 'no luck'})

  const about = await entries(admin, {task_id: id})
  expect(about.toReversed().map(brief)).toEqual([
    ['task.created', 'ci', null, 1],
    ['task.cancelled', 'me', 'W', 1],
    ['task.ended', 'box', 'W', 1],
    ['task.retried', 'ci', 'W', 1],
    ['task.ended', 'box', 'W', 1],
  ])
  expect(about[0]?.detail).toBe('failed: no luck')
  await box.post('unregister', {worker: 'W'})
  await admin.send('DELETE', '/v1/opencode/workers/W')
  const others = (await entries(admin)).toReversed().filter(({task_id}) => task_id === null)
  expect(others.map(({what, who}) => `${what} ${who}`)).toEqual([
    ...['token.first-used box', 'token.bound box', 'worker.registered box', 'codebase.registered box'],
    ...['token.first-used ci', 'token.first-used me', 'worker.unregistered box', 'worker.forgotten me'],
  ])
})

test('a task that nobody cancels by name, and one without tokens, has no names', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('W')
  const {id} = await api.create(await api.codebase('W', '/code'))
  await api.post('taskCancel', {task: id})
  expect(await api.task(id)).toMatchObject({created_by: null, cancelled_by: null, status: 'cancelled'})
  expect((await entries(api, {task_id: id})).map(brief)).toEqual([
    ['task.ended', null, null, 1],
    ['task.cancelled', null, null, 1],
    ['task.created', null, null, 1],
  ])
})

test('the audit is read by admins only, also where most routes need no token', async () => {
  await using plane = await startPlane({tokens, auth: 'stream-only'})
  const status = async (token?: string) => (await new Api(plane.url, token).get('audit')).status
  expect(await Promise.all([status('admin'), status('client'), status('worker'), status('wrong'), status()])).toEqual([
    ...[200, 403, 403, 403, 401],
  ])
})

test('a flood of refusals is one entry per token, rule and minute, with a count', async () => {
  const clock = movedClock()
  await using plane = await startPlane({tokens, clock})
  const [admin, ci] = [new Api(plane.url, 'admin'), new Api(plane.url, 'client')]
  await Promise.all(
    Array.from({length: 50}, (_, i) =>
      Promise.all([
        new Api(plane.url, `guess-${i}`).get('tasks'),
        new Api(plane.url).get('task', {task: `t${i}`}),
        ci.post('heartbeat', {worker: `w${i}`}),
      ]),
    ),
  )
  const refusals = async () => (await entries(admin)).filter(({what}) => what === 'request.refused')
  expect((await refusals()).map(({who, count}) => [who, count])).toEqual(
    expect.arrayContaining([
      [null, 1],
      [null, 1],
      ['ci', 1],
    ]),
  )
  expect(await refusals()).toHaveLength(3)
  clock.advance(60_000)
  await until(async () => (await refusals()).length === 6)
  expect((await refusals()).slice(0, 3).map(({count}) => count)).toEqual([49, 49, 49])
  expect((await refusals()).map(({detail}) => detail?.slice(0, 50)).join('\n')).toContain(
    '403 POST /v1/opencode/workers/w',
  )
  clock.advance(600_000)
  await ci.post('heartbeat', {worker: 'again'})
  expect((await refusals())[0]).toMatchObject({who: 'ci', count: 1, detail: expect.stringContaining('again')})
})

test("a report on a task of another worker is refused with 409, and that is in the audit with both worker and token's name", async () => {
  await using plane = await startPlane({tokens})
  const [admin, box, spare] = ['admin', 'worker', 'spare'].map((token) => new Api(plane.url, token)) as [Api, Api, Api]
  await box.registerOwn('W')
  await spare.registerOwn('S')
  const {id} = await admin.create(await box.codebase('W', '/code'))
  expect((await spare.report(id, 'S', 'cancelled')).status).toBe(409)
  const [refusal] = await entries(admin)
  expect(refusal).toMatchObject({what: 'request.refused', who: 'spare', worker_id: 'S'})
  expect(refusal?.detail).toContain(`409 PUT /v1/opencode/tasks/${id}/status`)
})

test('an entry is never without its change, nor a change without its entry', async () => {
  await using folder = await scratch()
  const database = folder.file('plane.db')
  const plane = await startPlane({database})
  const api = new Api(plane.url)
  await api.registerOwn('W')
  const codebase = await api.codebase('W', '/code')
  const {id} = await api.create(codebase)
  expect((await api.post('codebaseTasks', {codebase}, {title: 'x'.repeat(2000), prompt: 'p'})).status).toBe(413)
  await plane.close()
  using stored = new DatabaseSync(database)
  const created = stored.prepare("SELECT task_id FROM audit WHERE what = 'task.created'").all()
  expect(created).toEqual([{task_id: id}])
  // where the audit cannot be written, the change is not made either
  stored.exec("CREATE TRIGGER no_room BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END")
  stored.close()
  await using again = await startPlane({database})
  const answer = await new Api(again.url).post('codebaseTasks', {codebase}, {title: 't', prompt: 'p'})
  expect(answer.status).toBe(503)
  expect((await new Api(again.url).get('tasks')).body).toHaveLength(1)
})

test('a tokens file that is read again is in the audit, with the names of its tokens and none of them', async () => {
  await using folder = await scratch()
  const tokensFile = folder.file('tokens')
  writeFileSync(tokensFile, 'me:secret-one\n', {mode: 0o600})
  await using plane = await startPlane({tokensFile})
  writeFileSync(tokensFile, 'me:secret-two\nbox/worker:secret-three\n')
  plane.reload()
  const all = await entries(new Api(plane.url, 'secret-two'))
  expect(all.map(({what, detail}) => [what, detail])).toContainEqual(['tokens.read', '2 tokens: me/admin, box/worker'])
  expect(JSON.stringify(all)).not.toContain('secret')
})

const day = 24 * 60 * 60_000
const ago = (days: number) => new Date(Date.now() - days * day).toISOString()
const row = (at: string): NewAuditEntry => ({
  at,
  what: 'task.created',
  who: 'me',
  task_id: null,
  worker_id: null,
  detail: null,
  count: 1,
})

async function emptyAudit() {
  const database = await openDatabase(':memory:', {exclusive: true})
  migrate(database, ':memory:', migrations)
  const write = changeWriter(database)
  const append = (entry: NewAuditEntry) => write({do: 'audit', entry})
  return {database, audit: {...sqliteAuditViews(database), append, prune: auditPruner(database)}}
}

test('entries cannot be changed, replaced or removed, except for the oldest ones once they are old', async () => {
  const {database, audit} = await emptyAudit()
  for (const days of [100, 95, 2, 0.5, 0, 0]) audit.append(row(ago(days)))
  for (const statement of [
    "UPDATE audit SET who = 'nobody'",
    'UPDATE audit SET n = 100 WHERE n = 1',
    "REPLACE INTO audit VALUES (1, '', '', NULL, NULL, NULL, NULL, 1)",
    'DELETE FROM audit',
    'DELETE FROM audit WHERE n = 2', // it would leave a hole
    'DELETE FROM audit WHERE n <= 4', // the last of these is half a day old
    'DELETE FROM audit WHERE n = 6',
  ])
    expect(() => database.exec(statement), statement).toThrow('the audit is append-only')
  expect(database.prepare('SELECT count(*) AS n FROM audit').get()).toEqual({n: 6})
  expect(audit.prune({before: ago(90), maxRows: 1000})).toBe(false)
  expect(database.prepare('SELECT min(n) AS n FROM audit').get()).toEqual({n: 3})
  // a clock that is wrong by years removes nothing that is new
  expect(() => audit.prune({before: ago(-1000), maxRows: 1000})).toThrow('append-only')
  expect(database.prepare('SELECT count(*) AS n FROM audit').get()).toEqual({n: 4})
})

test('above the limit of rows the oldest go first, and a page looks at a limited number of rows', async () => {
  const {database, audit} = await emptyAudit()
  database.exec('BEGIN')
  for (let i = 0; i < 110_000; i++) audit.append({...row(ago(0)), ...(i === 5 ? {who: 'rare'} : {})})
  database.exec('COMMIT')
  expect(() => audit.prune({before: ago(90), maxRows: 50_000})).not.toThrow()
  expect(audit.prune({before: ago(90), maxRows: 105_000})).toBe(false)
  expect(database.prepare('SELECT min(n) AS first, max(n) AS last FROM audit').get()).toEqual({
    first: 5001,
    last: 110_000,
  })
  let pages = 0
  let before: number | undefined
  do {
    const page = audit.page({who: 'rare', start: {before}}, 100)
    expect(page.entries).toEqual([])
    before = page.last
    pages += 1
  } while (before !== undefined)
  expect(pages).toBe(6)
  const found = audit.page({start: {after: 0}}, 2)
  expect(found.entries.map(({n}) => n)).toEqual([5001, 5002])
  expect(audit.page({start: {after: 109_999}}, 2)).toMatchObject({entries: [{n: 110_000}], last: undefined})
})

test('entries older than the limit are removed while the control plane runs', async () => {
  await using folder = await scratch()
  const past = movedClock(-100 * day)
  const database = folder.file('plane.db')
  const early = await startPlane({database, clock: past})
  await new Api(early.url).registerOwn('old')
  await early.close()
  await using plane = await startPlane({database, clock: systemClock, retention: {intervalMs: 20}})
  const api = new Api(plane.url)
  await api.registerOwn('new')
  await until(async () => (await entries(api)).every(({worker_id}) => worker_id === 'new'))
})

test('`audit` lists entries oldest first, by task, worker, token and time, as lines or JSON, and follows new ones', async () => {
  await using fleet = await startFleet()
  const codebase = await fleet.http.codebase('box', '/code')
  const task = await fleet.http.task(codebase, {title: 'Mend it'})
  await fleet.http.task(codebase)
  const all = await fleet.cli(['audit'])
  expect(all.code, all.stderr).toBe(0)
  const lines = all.stdout.trim().split('\n')
  expect(lines.findIndex((line) => line.includes('worker.registered'))).toBeLessThan(lines.length - 2)
  expect(lines.at(-2)).toMatch(
    new RegExp(`^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d  task.created +\\S+ +${task.id}  .*Mend it$`),
  )
  const listed = async (...args: string[]) => JSON.parse((await fleet.cli(['audit', '--json', ...args])).stdout)
  expect(await listed('--task', task.id.slice(0, 8))).toMatchObject([{what: 'task.created', task_id: task.id}])
  expect(await listed('--worker', 'box', '--since', '1h')).toMatchObject([
    {what: 'worker.registered', worker_id: 'box'},
    {what: 'codebase.registered', worker_id: 'box'},
  ])
  expect(await listed('--who', 'nobody')).toEqual([])
  expect(await listed('--since', '2999-01-01T00:00:00Z')).toEqual([])
  expect(await listed('--limit', '1')).toHaveLength(1)
  expect((await fleet.cli(['audit', '--since', 'yesterday'])).stderr).toContain('--since needs an age like 2h')
  const follower = fleet.start(['audit', '--follow', '--limit', '1'])
  await until(() => follower.stdout().includes('task.created'))
  await fleet.http.call('POST', `/v1/opencode/tasks/${task.id}/cancel`)
  await until(() => /task\.cancelled[^]*task\.ended +\S+ +\S+ +cancelled/.test(follower.stdout()))
  follower.process.kill('SIGTERM')
  expect(await follower.finished).toMatchObject({code: 0})
})

test('an existing server keeps no audit, and the command says so', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const {code, stderr} = await shop.cli(['audit', '--server', server.url])
  expect([code, stderr]).toEqual([77, expect.stringContaining('This server keeps no audit.')])
})
