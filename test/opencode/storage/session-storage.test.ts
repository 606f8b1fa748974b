import {mkdirSync, utimesSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {findStorage} from '../../../src/lib/opencode/storage/session-storage.ts'
import {agentDatabase, agentTree} from '../../support/agent-storage.ts'
import {scratchFolder} from '../../support/scratch.ts'

function home() {
  const scratch = scratchFolder()
  const data = join(scratch.path, '.local/share/opencode')
  return {
    path: scratch.path,
    data,
    database: (file = join(data, 'opencode.db')) => {
      using agent = agentDatabase(file)
      agent.session({id: 'ses_a', directory: '/a'})
      return file
    },
    tree: (storage = join(data, 'storage')) => {
      agentTree(storage).session({id: 'ses_a', directory: '/a'})
      return storage
    },
    find: (setting?: string, env: NodeJS.ProcessEnv = {}) => findStorage({setting, env, home: scratch.path}),
    [Symbol.dispose]: scratch[Symbol.dispose],
  }
}

test('by default the storage is in the data folder of the user, or of XDG_DATA_HOME', async () => {
  using one = home()
  expect(await one.find()).toBeUndefined()
  const path = one.database()
  expect(await one.find()).toMatchObject({kind: 'database', path})
  const elsewhere = one.database(join(one.path, 'xdg/opencode/opencode.db'))
  expect(await one.find(undefined, {XDG_DATA_HOME: join(one.path, 'xdg')})).toMatchObject({path: elsewhere})
})

test('OPENCODE_DB of the agent may be a path, a name in the data folder, or no file at all', async () => {
  using one = home()
  one.tree()
  const path = one.database(join(one.data, 'mine.db'))
  expect(await one.find(undefined, {OPENCODE_DB: 'mine.db'})).toMatchObject({kind: 'database', path})
  expect(await one.find(undefined, {OPENCODE_DB: path})).toMatchObject({kind: 'database', path})
  expect(await one.find(undefined, {OPENCODE_DB: ':memory:'})).toBeUndefined()
  expect(await one.find(undefined, {OPENCODE_DB: 'nothing.db'})).toBeUndefined()
})

test('the setting names the storage folder, the data folder or a database, and takes precedence', async () => {
  using one = home()
  one.database()
  const data = join(one.path, 'other')
  const path = one.database(join(data, 'opencode.db'))
  mkdirSync(join(data, 'storage'))
  const env = {OPENCODE_DB: 'mine.db'}
  for (const setting of [path, data, join(data, 'storage')])
    expect(await one.find(setting, env), setting).toMatchObject({kind: 'database', path})
  const tree = one.tree(join(one.path, 'backup'))
  expect(await one.find(tree)).toEqual({kind: 'tree', path: tree})
})

test('a configured storage that is missing is a problem: nothing else is read in its place', async () => {
  using one = home()
  one.database()
  await expect(one.find(join(one.path, 'nowhere'))).rejects.toMatchObject({
    kind: 'missing',
    message: expect.stringMatching(/nowhere does not exist/),
    suggestions: [expect.stringMatching(/opencode_storage_path/)],
  })
})

test('the newer one of database and tree is read', async () => {
  using one = home()
  const path = one.database()
  const tree = one.tree()
  const old = new Date('2025-01-01')
  utimesSync(join(tree, 'session'), old, old)
  expect(await one.find()).toMatchObject({kind: 'database', path})
  utimesSync(path, old, old)
  utimesSync(join(tree, 'session'), new Date(), new Date())
  expect(await one.find()).toEqual({kind: 'tree', path: tree})
})

test('the stamp of a database changes with each write, also in its log', async () => {
  using one = home()
  const stamp = async () => {
    const found = await one.find()
    return found?.kind === 'database' ? found.stamp : ''
  }
  using agent = agentDatabase(one.database())
  const seen = new Set([await stamp()])
  for (let i = 0; i < 5; i++) {
    agent.session({id: `ses_${i}`, directory: '/a'})
    seen.add(await stamp())
    expect(await stamp()).toBe([...seen].at(-1))
  }

  expect(seen.size).toBe(6)
})
