import {join} from 'node:path'
import {rmSync, mkdtempSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {migrate, openDatabase} from '../../../src/lib/core/sqlite.ts'
import {migrations} from '../../../src/lib/server/store/migrations.ts'
import {SqliteEngine} from '../../../src/lib/server/store/sqlite-engine.ts'
import {testEngine} from '../support/engine-contract.ts'
import {policy} from '../support/memory-engine.ts'

testEngine('the SQLite engine', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'a2a-engine-'))
  const file = join(folder, 'plane.db')
  let passed = 0
  const clock = {...systemClock, now: () => Date.now() + passed, monotonic: () => performance.now() + passed}
  const fail = (error: unknown) => {
    throw error
  }
  const open = async () => {
    const database = await openDatabase(file, {exclusive: true})
    migrate(database, file, migrations)
    return {database, engine: new SqliteEngine({database, policy, clock, onRestored: fail, onBug: fail})}
  }
  let current = await open()
  return {
    engine: current.engine,
    pass: (ms) => void (passed += ms),
    async restarted() {
      current.database.close()
      current = await open()
      return current.engine
    },
    async [Symbol.asyncDispose]() {
      await current.engine.durable()
      current.database.close()
      rmSync(folder, {recursive: true, force: true})
    },
  }
})
