import {DatabaseSync} from 'node:sqlite'
import {expect, test} from 'vitest'
import {CommitGroup} from '../../src/lib/core/commit-group.ts'

function group() {
  const database = new DatabaseSync(':memory:')
  database.exec('CREATE TABLE t (v BLOB)')
  const seen = {rollbacks: 0, bugs: 0}
  const commits = new CommitGroup(database, {onRollback: () => seen.rollbacks++, onBug: () => seen.bugs++})
  const add = (bytes: number) => database.prepare('INSERT INTO t VALUES (zeroblob(?))').run(bytes)
  const rows = () => database.prepare('SELECT count(*) AS n FROM t').get()?.['n']
  return {database, commits, seen, add, rows}
}

test('writes of one turn share a transaction, and actions after the commit wait for it', async () => {
  const {database, commits, add, rows} = group()
  const order: string[] = []
  commits.write(() => add(1))
  commits.afterCommit(() => order.push(`after: ${database.isTransaction}`))
  expect(() =>
    commits.write(() => {
      add(1)
      throw new Error('no')
    }),
  ).toThrow('no')
  commits.write(() => add(1))
  expect(database.isTransaction).toBe(true)
  await commits.durable()
  order.push('settled')
  expect(order).toEqual(['after: false', 'settled'])
  expect(rows()).toBe(2)
  commits.afterCommit(() => order.push('at once'))
  expect(order).toHaveLength(3)
})

test('on a full disk no write is acknowledged, and later writes succeed', async () => {
  const {database, commits, add, rows, seen} = group()
  database.exec('PRAGMA max_page_count = 20')
  commits.write(() => add(10))
  const isKept = commits.durable().then(
    () => true,
    () => false,
  )
  expect(() => commits.write(() => add(1_000_000))).toThrow('full')
  expect(seen.rollbacks).toBeGreaterThan(0)
  const before = (await isKept) ? 1 : 0
  expect(rows()).toBe(before)
  commits.write(() => add(10))
  await commits.durable()
  expect(rows()).toBe(before + 1)
})

test('a failed commit rejects all writes that wait for it', async () => {
  const {database, commits, seen, rows} = group()
  database.exec(`PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);
    CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)`)
  commits.write(() => database.exec('INSERT INTO c VALUES (1)'))
  const other = commits.durable()
  await expect(commits.durable()).rejects.toThrow('FOREIGN KEY')
  await expect(other).rejects.toThrow('FOREIGN KEY')
  expect(seen.rollbacks).toBe(1)
  expect(rows()).toBe(0)
  await commits.durable()
})

test('a failing action after a commit does not block the others', async () => {
  const {commits, add, seen} = group()
  commits.write(() => add(1))
  commits.afterCommit(() => {
    throw new Error('a bug')
  })
  await commits.durable()
  expect(seen.bugs).toBe(1)
})

test('writes committed during a disk sync share the next sync, and none is acknowledged before it', async () => {
  const {database, add} = group()
  const syncs: PromiseWithResolvers<void>[] = []
  const commits = new CommitGroup(database, {
    sync: () => {
      const sync = Promise.withResolvers<void>()
      syncs.push(sync)
      return sync.promise
    },
  })
  const acknowledged: string[] = []
  const write = async (name: string) => {
    commits.write(() => add(1))
    commits.afterCommit(() => acknowledged.push(`after ${name}`))
    await commits.durable()
    acknowledged.push(name)
  }

  const committed = async () => expect.poll(() => database.isTransaction).toBe(false)
  const first = write('first')
  await committed()
  const second = write('second')
  await committed()
  const third = write('third')
  await committed()
  expect(syncs).toHaveLength(1)
  expect(acknowledged).toEqual([])

  syncs[0]?.resolve()
  await first
  expect(acknowledged).toEqual(['after first', 'first'])
  await expect.poll(() => syncs.length).toBe(2)
  syncs[1]?.reject(new Error('the disk is gone'))
  await expect(second).rejects.toThrow('the disk is gone')
  await expect(third).rejects.toThrow('the disk is gone')
  expect(acknowledged).toEqual(['after first', 'first'])
})
