import {chmodSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {agentDatabase} from '../support/agent-storage.ts'
import {stop} from '../support/cli.ts'
import {subjectToPermissions} from '../support/permissions.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {repository, until} from '../support/scratch.ts'
import {openWorkshop, says} from '../support/workshop.ts'

/** Our worker with the existing server, and with sessions of three days. */
async function atWork(args: string[] = []) {
  const server = await ReferenceServer.start()
  const shop = openWorkshop()
  const code = repository(join(shop.path, 'code'))
  const agent = agentDatabase(join(shop.path, 'home/.local/share/opencode/opencode.db'))
  for (const n of [1, 2, 3]) {
    agent.session({id: `ses_${n}`, directory: code, updated: n})
    for (const m of [1, 2, 3]) agent.message({id: `msg_${n}${m}`, session: `ses_${n}`, created: m})
  }

  return {
    server,
    shop,
    agent,
    code,
    worker: await shop.worker(server.url, 'w', [code], args),
    lists: () => server.calls('POST', /\/sessions\/sync$/),
    messages: () =>
      server
        .calls('POST', /\/messages\/sync$/)
        .map(({path, body}) => [path.split('/')[6], body.messages.map(({id}: {id: string}) => id).join()]),
    async [Symbol.asyncDispose]() {
      agent[Symbol.dispose]()
      await shop[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

test('a worker syncs at its start: the list, then the newest messages of the newest sessions', async () => {
  await using one = await atWork(['--session-message-sync-max-sessions', '2', '--session-message-sync-max-messages=2'])
  await until(() => one.messages().length === 2, 'the messages')
  expect(one.lists()).toMatchObject([{body: {sessions: [{id: 'ses_3'}, {id: 'ses_2'}, {id: 'ses_1'}]}}])
  expect(one.lists()[0]?.path).toContain(one.server.codebaseId(one.code))
  expect(one.messages()).toEqual([
    ['ses_3', 'msg_32,msg_33'],
    ['ses_2', 'msg_22,msg_23'],
  ])
  expect(one.server.lostMessages).toEqual([])
  await stop(one.worker)
  await one.shop.worker(
    one.server.url,
    'w',
    [one.code],
    ['--session-message-sync-max-sessions=1', '--session-message-sync-max-messages=3'],
  )
  await until(() => one.messages().length === 3, 'what was not sent before')
  expect(one.messages()[2]).toEqual(['ses_3', 'msg_31,msg_32,msg_33'])
  expect(one.lists()).toHaveLength(1)
})

test('a storage can be set by flag or variable', async () => {
  await using one = await atWork(['--opencode-storage-path', '/nowhere/storage'])
  await says(one.worker, /WARN .*\/nowhere\/storage does not exist/)
  await stop(one.worker)
  const data = join(one.shop.path, 'home/.local/share/opencode')
  Object.assign(one.shop.env, {OPENCODE_STORAGE_PATH: data, HOME: join(one.shop.path, 'nobody')})
  const named = await one.shop.worker(one.server.url, 'w', [one.code])
  await says(named, `Using OpenCode storage at: ${join(data, 'opencode.db')}`)
  await until(() => one.lists().length === 1, 'the list')
})

test('an unreadable storage is a warning with the command that grants access, and tasks run anyway', async () => {
  await using one = await atWork()
  await stop(one.worker)
  const data = join(one.shop.path, 'home/.local/share/opencode')
  chmodSync(data, 0)
  const args = [
    'start',
    '--server',
    one.server.url,
    '--name',
    'other',
    '--codebase',
    one.code,
    '--exit-after-idle',
    '2',
  ]
  const {code, stderr} = await one.shop.cli(args, {by: subjectToPermissions})
  chmodSync(data, 0o755)
  expect(code).toBe(0)
  expect(stderr).toContain('Task stream connected')
  expect(stderr.split('\n').filter((line) => line.includes('may not read'))).toEqual([
    expect.stringMatching(
      / WARN .*As its owner or root: setfacl -m u:\w+:x .*opencode && setfacl -m d:u:\w+:r .*\.db\*$/,
    ),
  ])
})
