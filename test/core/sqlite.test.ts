import {spawnSync} from 'node:child_process'
import {chmodSync, statSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {openDatabase} from '../../src/lib/core/sqlite.ts'
import {scratchFolder} from '../support/scratch.ts'

const modeOf = (path: string) => statSync(path).mode & 0o777

test('only its user can read a database and its log, whatever the umask, and one of an earlier version is repaired', async () => {
  using scratch = scratchFolder()
  const before = process.umask(0)
  try {
    for (const name of ['new.db', 'old.db']) {
      const file = join(scratch.path, name)
      if (name === 'old.db') {
        writeFileSync(file, '')
        chmodSync(file, 0o644)
      }

      const database = await openDatabase(file, {exclusive: false})
      database.exec('CREATE TABLE t (x); INSERT INTO t VALUES (1)')
      expect([file, `${file}-wal`, `${file}-shm`].map(modeOf)).toEqual([0o600, 0o600, 0o600])
      database.close()
      expect(modeOf(file)).toBe(0o600)
    }
  } finally {
    process.umask(before)
  }
})

test('a lock on a database outlives a second attempt of its process to open it', async () => {
  using scratch = scratchFolder()
  const file = join(scratch.path, 'locked.db')
  const database = await openDatabase(file, {exclusive: true})
  await expect(openDatabase(file, {exclusive: true})).rejects.toMatchObject({code: 'DATABASE_LOCKED'})
  const module = new URL('../../src/lib/core/sqlite.ts', import.meta.url).href
  const other = spawnSync(process.execPath, [
    '--input-type=module',
    '--eval',
    `import {openDatabase} from ${JSON.stringify(module)}; await openDatabase(${JSON.stringify(file)}, {exclusive: true}).then(() => console.log('opened'), ({code}) => console.log(code))`,
  ])
  expect(other.stdout.toString().trim()).toBe('DATABASE_LOCKED')
  database.close()
})
