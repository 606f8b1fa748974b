import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {sessionDatabase} from '../../../src/lib/opencode/storage/session-database.ts'
import {limits} from '../../../src/lib/protocol/limits.ts'
import {agentDatabase, type AgentDatabase} from '../../support/agent-storage.ts'
import {scratchFolder} from '../../support/scratch.ts'

function made(options: Parameters<typeof agentDatabase>[1] = {}) {
  const scratch = scratchFolder()
  const file = join(scratch.path, 'opencode', 'opencode.db')
  const agent = agentDatabase(file, options)
  return {
    file,
    agent,
    folder: join(scratch.path, 'opencode'),
    [Symbol.dispose]() {
      agent[Symbol.dispose]()
      scratch[Symbol.dispose]()
    },
  }
}

async function idsIn(file: string, ...inside: string[]): Promise<string[]> {
  using source = await sessionDatabase(file)
  return source.sessions({inside}).map(({id}) => id)
}

const everything = {outside: []}
/** Names, sizes and times of the files in a folder. */
const contents = (folder: string) =>
  readdirSync(folder).map((name) => [name, statSync(join(folder, name)).size, statSync(join(folder, name)).mtimeMs])

test('a session is read with all fields that OpenCode stores, newest first', async () => {
  using one = made()
  one.agent.session({id: 'ses_a', directory: '/a', created: 1000, updated: 5000})
  one.agent.session({id: 'ses_b', directory: '/a', created: 2000, updated: 9000, archived: 9500})
  one.agent.message({id: 'msg_1', session: 'ses_a'})
  one.agent.message({id: 'msg_2', session: 'ses_a'})
  using source = await sessionDatabase(one.file)
  expect(source.sessions({inside: ['/a']})).toEqual([
    expect.objectContaining({id: 'ses_b', updated: 9000, messages: 0}),
    {
      id: 'ses_a',
      title: 'about ses_a',
      directory: '/a',
      projectId: 'p',
      version: '1.18.33',
      created: 1000,
      updated: 5000,
      messages: 2,
      summary: {additions: 1, deletions: 2, files: 3},
    },
  ])
})

test('the session in which an agent was warmed up is none of the user, at each of its stages', async () => {
  using one = made()
  one.agent.session({id: 'ses_new', directory: '/a', title: 'New session - 2026-01-01T00:00:00.000Z'})
  one.agent.session({id: 'ses_asked', directory: '/a', title: 'New session - 2026-01-01T00:00:00.000Z'})
  one.agent.message({id: 'msg_1', session: 'ses_asked', provider: 'a2a-worker'})
  one.agent.session({id: 'ses_named', directory: '/a', title: 'a2a-worker warm-up'})
  one.agent.session({id: 'ses_begun', directory: '/a', title: 'New session - 2026-01-01T00:00:00.000Z'})
  one.agent.message({id: 'msg_2', session: 'ses_begun'})
  one.agent.session({id: 'ses_kept', directory: '/a', title: 'empty, but named by the user'})
  expect((await idsIn(one.file, '/a')).toSorted()).toEqual(['ses_begun', 'ses_kept'])
})

test('clones of a repository are one project with sessions of their own; other sessions belong to no codebase', async () => {
  using one = made()
  for (const directory of ['/a', '/clone of a', '/a/below', '/elsewhere'])
    one.agent.session({id: `ses_${directory.length}`, directory})
  expect(await idsIn(one.file, '/a')).toEqual(['ses_2'])
  expect(await idsIn(one.file, '/clone of a')).toEqual(['ses_11'])
  using source = await sessionDatabase(one.file)
  const rest = source.sessions({outside: ['/a', '/clone of a']}).map(({directory}) => directory)
  expect(rest.sort()).toEqual(['/a/below', '/elsewhere'])
})

test('at most as many sessions are read as a server stores, newest first', async () => {
  using one = made()
  one.agent.database.exec('BEGIN')
  for (let i = 0; i < limits.sessions + 10; i++) one.agent.session({id: `ses_${i}`, directory: '/a', updated: i})
  one.agent.database.exec('COMMIT')
  const ids = await idsIn(one.file, '/a')
  expect(ids).toHaveLength(limits.sessions)
  expect([ids[0], ids.at(-1)]).toEqual([`ses_${limits.sessions + 9}`, 'ses_10'])
})

test('sessions of subagents and hostile ids are omitted', async () => {
  using one = made()
  one.agent.session({id: 'ses_a', directory: '/a'})
  one.agent.session({id: 'ses_sub', directory: '/a', parent: 'ses_a'})
  for (const id of ['../../etc/passwd', 'a b', "a';--", '', 'ü', 'x'.repeat(300), 'a/b', 'a\nb'])
    one.agent.session({id, directory: '/a'})
  one.agent.message({id: 'msg_1', session: 'ses_a'})
  one.agent.message({id: '../msg', session: 'ses_a'})
  expect(await idsIn(one.file, '/a')).toEqual(['ses_a'])
  using source = await sessionDatabase(one.file)
  expect(source.messageIds('ses_a')).toEqual(['msg_1'])
})

test('messages are ordered by time and have their parts, as OpenCode wrote them', async () => {
  using one = made()
  one.agent.session({id: 'ses_a', directory: '/a'})
  one.agent.message({id: 'msg_2', session: 'ses_a', created: 1})
  one.agent.message({
    id: 'msg_1',
    session: 'ses_a',
    created: 2,
    parts: [
      {id: 'prt_b', type: 'text', text: 'b'},
      {id: 'prt_a', type: 'text', text: 'a'},
    ],
  })
  one.agent.message({id: 'msg_0', session: 'ses_other', created: 3})
  using source = await sessionDatabase(one.file)
  expect(source.messageIds('ses_a')).toEqual(['msg_2', 'msg_1'])
  expect(source.message('ses_a', 'msg_1')).toMatchObject({
    id: 'msg_1',
    info: expect.stringContaining('"role":"user"'),
    parts: [{id: 'prt_a', data: '{"type":"text","text":"a"}'}, {id: 'prt_b'}],
  })
  expect(source.message('ses_a', 'msg_0')).toBeUndefined()
})

test('missing columns of an older version are empty, and unknown columns do not matter', async () => {
  using old = made({schema: 'old'})
  old.agent.session({id: 'ses_a', directory: '/a', updated: 5000})
  old.agent.message({id: 'msg_1', session: 'ses_a'})
  using source = await sessionDatabase(old.file)
  expect(source.sessions(everything)).toEqual([
    {
      id: 'ses_a',
      title: 'about ses_a',
      directory: '/a',
      projectId: null,
      version: null,
      created: null,
      updated: 5000,
      messages: 1,
      summary: null,
    },
  ])
  expect(source.message('ses_a', source.messageIds('ses_a')[0] ?? '')?.parts).toHaveLength(1)
  using newer = made()
  newer.agent.database.exec('ALTER TABLE session ADD COLUMN mood text; CREATE TABLE spaceship (id text)')
  newer.agent.session({id: 'ses_a', directory: '/a'})
  expect(await idsIn(newer.file, '/a')).toEqual(['ses_a'])
})

test('values of the wrong type do not hide the other values', async () => {
  using one = made()
  one.agent.session({id: 'ses_a', directory: '/a'})
  one.agent.session({id: 'ses_b', directory: '/a'})
  one.agent.database.exec(`UPDATE session SET time_created = 9223372036854775807, time_updated = 'soon', title = x'00ff'
    WHERE id = 'ses_b'`)
  one.agent.message({id: 'msg_1', session: 'ses_a'})
  one.agent.database.exec(`UPDATE message SET data = x'7b7d'`)
  using source = await sessionDatabase(one.file)
  expect(source.sessions(everything).map(({id}) => id)).toEqual(['ses_a', 'ses_b'])
  expect(source.message('ses_a', 'msg_1')).toMatchObject({info: '{}'})
})

test('the write-ahead log is read, and nothing is written beside the database', async () => {
  using one = made()
  one.agent.session({id: 'ses_a', directory: '/a'})
  const before = contents(one.folder)
  expect(before.map(([name]) => name)).toEqual(['opencode.db', 'opencode.db-shm', 'opencode.db-wal'])
  expect(await idsIn(one.file, '/a')).toEqual(['ses_a'])
  expect(contents(one.folder)).toEqual(before)
})

test('a missing log is not created: a log of another user would lock OpenCode out', async () => {
  using one = made()
  one.agent.session({id: 'ses_a', directory: '/a'})
  one.agent.database.close()
  const before = contents(one.folder)
  expect(before.map(([name]) => name)).toEqual(['opencode.db'])
  expect(await idsIn(one.file, '/a')).toEqual(['ses_a'])
  expect(contents(one.folder)).toEqual(before)
  using again = agentDatabase(one.file)
  again.database.exec('PRAGMA journal_mode = DELETE')
  const plain = contents(one.folder)
  expect(await idsIn(one.file, '/a')).toEqual(['ses_a'])
  expect(contents(one.folder)).toEqual(plain)
})

test('the log of a killed OpenCode is read, with and without its index', async () => {
  using one = made()
  one.agent.session({id: 'ses_a', directory: '/a'})
  const left = join(one.folder, 'left')
  mkdirSync(left)
  for (const ending of ['', '-wal', '-shm']) copyFileSync(one.file + ending, join(left, `opencode.db${ending}`))
  expect(await idsIn(join(left, 'opencode.db'), '/a')).toEqual(['ses_a'])
  rmSync(join(left, 'opencode.db-shm'))
  expect(await idsIn(join(left, 'opencode.db'), '/a')).toEqual(['ses_a'])
})

/** Locks the database exclusively from another process. */
async function lock(file: string): Promise<AsyncDisposable> {
  const script = `const {DatabaseSync} = require('node:sqlite')
    const database = new DatabaseSync(process.argv[1])
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE')
    console.log('locked')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['-e', script, file], {stdio: ['ignore', 'pipe', 'ignore']})
  await once(child.stdout, 'data')
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

test('a locked database counts as busy, which passes', async () => {
  using one = made()
  one.agent.session({id: 'ses_a', directory: '/a'})
  one.agent.database.close()
  {
    await using _holder = await lock(one.file)
    await expect(idsIn(one.file, '/a')).rejects.toMatchObject({kind: 'busy', exitCode: 75})
  }
  expect(await idsIn(one.file, '/a')).toEqual(['ses_a'])
})

test('a database that is deleted or replaced while open yields its old content; the next read sees the new one', async () => {
  using one = made()
  one.agent.session({id: 'ses_a', directory: '/a'})
  const other = join(one.folder, 'new', 'opencode.db')
  const replacement: AgentDatabase = agentDatabase(other)
  replacement.session({id: 'ses_new', directory: '/a'})
  replacement.database.close()
  {
    using source = await sessionDatabase(one.file)
    one.agent.database.close()
    renameSync(other, one.file)
    for (const ending of ['-wal', '-shm']) rmSync(one.file + ending, {force: true})
    expect(source.sessions(everything).map(({id}) => id)).toEqual(['ses_a'])
  }
  expect(await idsIn(one.file, '/a')).toEqual(['ses_new'])
  {
    using source = await sessionDatabase(one.file)
    rmSync(one.file)
    expect(source.sessions(everything)).toHaveLength(1)
  }
  await expect(idsIn(one.file, '/a')).rejects.toMatchObject({kind: 'busy'})
})

test('a missing, a truncated and a foreign database are one clear problem; a database in creation has no sessions', async () => {
  using scratch = scratchFolder()
  const file = join(scratch.path, 'opencode.db')
  writeFileSync(file, 'this is a letter, and no database, however long one reads on in it '.repeat(200))
  await expect(idsIn(file, '/a')).rejects.toMatchObject({
    kind: 'broken',
    message: expect.stringMatching(/opencode\.db cannot be read: file is not a database/),
  })
  using one = made()
  for (let i = 0; i < 500; i++) one.agent.session({id: `ses_${i}`, directory: '/a', title: 'x'.repeat(500)})
  one.agent.database.close()
  const bytes = readFileSync(one.file)
  writeFileSync(one.file, bytes.fill(0x5a, 4096, 60_000))
  await expect(idsIn(one.file, '/a')).rejects.toMatchObject({kind: 'broken', exitCode: 78})

  using strange = made()
  strange.agent.database.exec('ALTER TABLE session RENAME COLUMN directory TO place; DROP TABLE part')
  await expect(idsIn(strange.file, '/a')).rejects.toMatchObject({
    kind: 'unknown',
    message: expect.stringMatching(/missing session\.directory, part\.id, part\.message_id/),
    suggestions: [expect.stringMatching(/Update a2a-worker/)],
  })
  writeFileSync(file, '')
  expect(await idsIn(file, '/a')).toEqual([])
})

test('sessions of OpenCode 2 are read from its own tables, and older ones stay', async () => {
  using one = made()
  const {database} = one.agent
  one.agent.session({id: 'ses_old', directory: '/a', updated: 1000})
  one.agent.message({id: 'msg_old', session: 'ses_old'})
  one.agent.session({id: 'ses_both', directory: '/a', title: 'as it was'})
  one.agent.message({id: 'msg_frozen', session: 'ses_both'})
  // The columns that OpenCode 2.0.3 has, as far as they are read.
  database.exec(`CREATE TABLE session_v2 (id text PRIMARY KEY, project_id text NOT NULL, parent_id text, slug text NOT NULL,
      directory text NOT NULL, title text, version text NOT NULL, summary_additions integer, summary_deletions integer,
      summary_files integer, time_created integer NOT NULL, time_updated integer NOT NULL, idle_outcome text);
    CREATE TABLE session_message (id text PRIMARY KEY, session_id text NOT NULL, type text NOT NULL, seq integer NOT NULL,
      time_created integer NOT NULL, time_updated integer NOT NULL, data text NOT NULL)`)
  const session = database.prepare(
    `INSERT INTO session_v2 (id, project_id, parent_id, slug, directory, title, version, time_created, time_updated)
      VALUES (?, 'p', ?, 's', '/a', ?, '2.0.32', 5000, ?)`,
  )
  session.run('ses_both', null, 'as it is now', 7000)
  session.run('ses_new', null, null, 9000)
  session.run('ses_sub', 'ses_new', 'of a subagent', 9000)
  let seq = 0
  const message = (id: string, sessionId: string, type: string, data: object) => {
    seq += 1
    database
      .prepare('INSERT INTO session_message VALUES (?, ?, ?, ?, 1, 1, ?)')
      .run(id, sessionId, type, seq, JSON.stringify(data))
  }
  const model = {id: 'gpt-x', providerID: 'openai'}
  message('m1', 'ses_both', 'user', {time: {created: 6000}, text: 'Go on'})
  message('m3', 'ses_new', 'user', {time: {created: 8000}, text: 'Fix it', files: []})
  message('m2', 'ses_new', 'model-switched', {time: {created: 8001}, model})
  message('m4', 'ses_new', 'assistant', {
    ...{time: {created: 8002, completed: 8500}, agent: 'build', model, cost: 0.25, tokens: {input: 3, output: 4}},
    content: [
      {type: 'reasoning', id: 'r', text: 'Hm'},
      {
        type: 'tool',
        id: 'call_1',
        name: 'bash',
        state: {status: 'completed', input: {command: 'ls'}, content: [{type: 'text', text: 'a.txt'}]},
      },
      {
        type: 'tool',
        id: 'call_2',
        name: 'edit',
        state: {status: 'error', input: {}, content: [], error: {type: 'unknown', message: 'no such file'}},
      },
      {type: 'text', id: 't', text: 'Fixed.'},
    ],
  })
  message('m5', 'ses_new', 'shell', {time: {created: 8600}, callID: 'c', command: 'date', output: 'Sunday'})
  message('m6', 'ses_new', 'assistant', {time: 'broken'})
  database.prepare("INSERT INTO session_message VALUES ('m7', 'ses_new', 'assistant', 99, 1, 1, '{not json')").run()
  using source = await sessionDatabase(one.file)
  expect(source.sessions({inside: ['/a']}).map(({id, title, messages}) => [id, title, messages])).toEqual([
    ...[
      ['ses_new', null, 5],
      ['ses_both', 'as it is now', 1],
    ],
    ['ses_old', 'about ses_old', 1],
  ])
  expect(source.messageIds('ses_new')).toEqual(['m3', 'm4', 'm5', 'm6', 'm7'])
  expect(source.messageIds('ses_both')).toEqual(['m1'])
  expect(source.messageIds('ses_old')).toEqual(['msg_old'])
  expect(source.message('ses_old', 'msg_old')?.parts).toHaveLength(1)
  expect(JSON.parse(source.message('ses_new', 'm4')!.info)).toMatchObject({
    ...{role: 'assistant', agent: 'build', providerID: 'openai', modelID: 'gpt-x', cost: 0.25},
    ...{time: {created: 8002, completed: 8500}, tokens: {input: 3, output: 4}},
  })
  expect(source.message('ses_new', 'm4')!.parts.map(({data}) => JSON.parse(data) as unknown)).toEqual([
    {type: 'reasoning', text: 'Hm'},
    {
      type: 'tool',
      tool: 'bash',
      callID: 'call_1',
      state: {status: 'completed', input: {command: 'ls'}, output: 'a.txt'},
    },
    {type: 'tool', tool: 'edit', callID: 'call_2', state: {status: 'error', input: {}, error: 'no such file'}},
    {type: 'text', text: 'Fixed.'},
  ])
  expect(source.message('ses_new', 'm3')!.parts.map(({data}) => JSON.parse(data) as unknown)).toEqual([
    {type: 'text', text: 'Fix it'},
  ])
  expect(source.message('ses_new', 'm7')).toBeUndefined()
})
