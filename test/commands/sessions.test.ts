import {chmodSync, mkdirSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, beforeEach, expect, test} from 'vitest'
import {agentDatabase, agentTree, type AgentDatabase} from '../support/agent-storage.ts'
import {cli, stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {subjectToPermissions} from '../support/permissions.ts'
import {repository} from '../support/scratch.ts'

let fleet: Awaited<ReturnType<typeof startFleet>>
let data: string
let code: string
let agent: AgentDatabase

beforeAll(async () => {
  fleet = await startFleet()
  data = join(fleet.path, 'home/.local/share/opencode')
  code = repository(join(fleet.path, 'code'))
})
afterAll(() => fleet[Symbol.asyncDispose]())

beforeEach(() => {
  rmSync(data, {recursive: true, force: true})
  agent = agentDatabase(join(data, 'opencode.db'))
  return () => agent[Symbol.dispose]()
})

const now = Date.now()
const sessions = (args: string[], options: Parameters<typeof fleet.run>[1] = {}) =>
  fleet.run(['sessions', ...args], {cwd: code, ...options})

test('list shows the sessions that OpenCode stores on this machine, newest first', async () => {
  agent.session({id: 'ses_a', directory: code, title: 'Mend\nthe build', updated: now - 120_000})
  agent.session({id: 'ses_b', directory: '/elsewhere', title: 'Other', updated: now - 3 * 3_600_000})
  agent.message({id: 'msg_1', session: 'ses_a'})
  const {code: exit, stdout} = await sessions(['list'])
  expect(exit).toBe(0)
  expect(stdout.trimEnd().split('\n')).toEqual([
    expect.stringMatching(/^ID +TITLE +UPDATED +MESSAGES +DIRECTORY$/),
    expect.stringMatching(new RegExp(`^ses_a  Mend the build  2 min +1 +${code}$`)),
    expect.stringMatching(/^ses_b  Other +3 h +0 +\/elsewhere$/),
  ])
  const json = await sessions(['list', '--limit', '1', '--json'])
  expect(JSON.parse(json.stdout)).toMatchObject([{id: 'ses_a', messageCount: 1, updated: expect.stringMatching(/Z$/)}])
})

test('list takes a codebase by path or by its configured name', async () => {
  agent.session({id: 'ses_a', directory: code})
  agent.session({id: 'ses_b', directory: '/gone'})
  const config = join(fleet.path, 'config.json')
  writeFileSync(config, JSON.stringify({codebases: [{name: 'api', path: code}]}))
  for (const args of [['.'], [code], ['api', '--config', config]]) {
    const {stdout} = await sessions(['list', '--json', '--codebase', ...args])
    expect(JSON.parse(stdout), args[0]).toMatchObject([{id: 'ses_a'}])
  }

  expect((await sessions(['list', '--codebase', '/gone'])).stdout).toContain('ses_b')
  expect(await sessions(['list', '--codebase', 'apy', '--config', config])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/no codebase or directory apy[^]*Did you mean api\?/),
  })
})

test('list reads the given storage, and says why an unreadable one cannot be read', async () => {
  const tree = join(fleet.path, 'tree/storage')
  agentTree(tree).session({id: 'ses_tree', directory: code})
  const named = (path: string) => sessions(['list', '--opencode-storage-path', path])
  expect((await named(tree)).stdout).toContain('ses_tree')
  expect(await named('/nowhere')).toMatchObject({code: 78, stderr: expect.stringMatching(/\/nowhere does not exist/)})
  const broken = join(fleet.path, 'broken.db')
  writeFileSync(broken, 'no database '.repeat(1000))
  expect(await named(broken)).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/^Error: OpenCode's database .*broken\.db cannot be read: .*\n {2}→ .*\n$/),
  })
  const {stdout} = await sessions(['list'], {env: {...fleet.env, XDG_DATA_HOME: join(fleet.path, 'empty')}})
  expect(stdout).toBe('No sessions.\n')
})

test('a storage of another user: exit 77, with the command that grants access', async () => {
  const by = subjectToPermissions
  agent.session({id: 'ses_a', directory: code})
  chmodSync(data, 0)
  const closed = await sessions(['list'], {by})
  chmodSync(data, 0o755)
  expect(closed).toMatchObject({
    code: 77,
    stderr: expect.stringMatching(/User \w+ may not read OpenCode's sessions at/),
  })
  expect(closed.stderr).toMatch(
    new RegExp(
      `setfacl -m u:\\w+:x ${data} && setfacl -m d:u:\\w+:r ${data} && setfacl -m u:\\w+:r ${data}/opencode\\.db\\*\n`,
    ),
  )
  chmodSync(join(data, 'opencode.db'), 0)
  const file = await sessions(['list'], {by})
  chmodSync(join(data, 'opencode.db'), 0o644)
  expect(file).toMatchObject({code: 77, stderr: expect.stringMatching(/root: setfacl -m d:u:/)})
  const tree = join(fleet.path, 'closed/storage')
  agentTree(tree).session({id: 'ses_tree', directory: code})
  chmodSync(join(tree, 'session/p'), 0)
  const files = await sessions(['list', '--opencode-storage-path', tree], {by})
  chmodSync(join(tree, 'session/p'), 0o755)
  expect(files).toMatchObject({
    code: 77,
    stderr: expect.stringMatching(new RegExp(`setfacl -R -m u:\\w+:rX,d:u:\\w+:rX ${tree}\n`)),
  })
})

test("list --remote reads all pages of a codebase's sessions from the control plane", async () => {
  const id = await fleet.http.codebase('elsewhere', '/srv/remote')
  const many = Array.from({length: 700}, (_, i) => ({
    id: `ses_${i}`,
    title: `t${i}`,
    updated: now + i,
    directory: '/srv',
  }))
  await fleet.http.call('POST', `/v1/opencode/codebases/${id}/sessions/sync`, {worker_id: 'elsewhere', sessions: many})
  const {stdout} = await sessions(['list', '--remote', '--codebase', '/srv/remote', '--limit', '650', '--json'])
  const listed = JSON.parse(stdout) as {id: string}[]
  expect(listed).toHaveLength(650)
  expect([listed[0]?.id, listed.at(-1)?.id]).toEqual(['ses_699', 'ses_50'])
  expect((await sessions(['list', '--remote', '-b', id, '--limit', '1'])).stdout).toMatch(
    /\nses_699 +t699 +\d+ s +\? +\/srv\n$/,
  )
  expect(await sessions(['list', '--remote'], {cwd: '/'})).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/No codebase contains the current directory/),
  })
})

test('sync without a worker syncs itself, and a worker started later has nothing left to send', async () => {
  agent.session({id: 'ses_a', directory: code})
  agent.message({id: 'msg_1', session: 'ses_a'})
  const args = ['sync', '--name', 'w', '--codebase', code]
  const {code: exit, stdout} = await sessions(args)
  expect(exit).toBe(0)
  expect(stdout).toMatch(
    new RegExp(`^This command, as worker w has synced its sessions\\.\nSESSIONS .*\n1 +1 +0 +1 +${code}\n$`),
  )
  const id = await fleet.codebaseId(code)
  const messages = await fleet.http.call('GET', `/v1/opencode/codebases/${id}/sessions/ses_a/messages`)
  expect(messages.body.messages).toMatchObject([{id: 'msg_1', parts: [{text: 'msg_1'}]}])

  const worker = await fleet.worker('w', [code])
  agent.session({id: 'ses_b', directory: code})
  const again = await sessions(['sync', '--json'])
  expect(JSON.parse(again.stdout)).toEqual([
    {
      worker: 'w',
      running: true,
      codebases: [{codebase_id: id, directory: code, sessions: 2, changed: 1, removed: 0, messages: 0}],
    },
  ])
  expect((await sessions(['sync'])).stdout).toMatch(/^The running worker w has synced its sessions\.\n.*\n2 +0 +0 +0 /)
  expect((await sessions(['sync', '--all'])).stdout).toMatch(/\n2 +2 +0 +1 /)
  await stop(worker)
})

test('sync says why it cannot sync', async () => {
  expect(await sessions(['sync'], {cwd: '/'})).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/no codebase is configured[^]*--codebase PATH/),
  })
  expect(
    await fleet.run(['sessions', 'sync', '--codebase', code], {
      cwd: code,
      env: {...fleet.env, XDG_DATA_HOME: '/nowhere'},
    }),
  ).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/OpenCode has not stored any sessions yet\./),
  })
  const unreachable = ['sessions', 'sync', '--codebase', code, '--server', 'http://127.0.0.1:9']
  expect(await cli(unreachable, {cwd: code, env: fleet.env})).toMatchObject({
    code: 69,
    stderr: expect.stringMatching(/nothing listens there/),
  })
  const bad = await sessions(['sync', '--codebase', code, '--session-message-sync-max-sessions', 'many'])
  expect(bad).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/session_message_sync_max_sessions .*whole number/),
  })
  mkdirSync(join(fleet.path, 'strange'))
  const strange = agentDatabase(join(fleet.path, 'strange/opencode.db'))
  strange.database.exec('DROP TABLE part')
  strange[Symbol.dispose]()
  expect(
    await sessions([
      'sync',
      '--codebase',
      code,
      '--opencode-storage-path',
      join(fleet.path, 'strange'),
      '--opencode',
      '/bin/false',
    ]),
  ).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/missing part\.id.*Asked instead, `opencode session list` failed: exit 1/),
  })
})
