import {expect, test} from 'vitest'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {migrate, openDatabase} from '../../../src/lib/core/sqlite.ts'
import {Plane} from '../../../src/lib/server/plane/plane.ts'
import type {StateEvent} from '../../../src/lib/server/state/events.ts'
import {migrations} from '../../../src/lib/server/store/migrations.ts'
import {SqliteEngine} from '../../../src/lib/server/store/sqlite-engine.ts'
import {addTask, addWorker} from '../support/engine-world.ts'
import {policy} from '../support/memory-engine.ts'

test('an event that cannot be performed keeps no other event of its decision back', async () => {
  const database = await openDatabase(':memory:', {exclusive: true})
  migrate(database, ':memory:', migrations)
  const bugs: unknown[] = []
  const onBug = (error: unknown) => void bugs.push(error)
  const engine = new SqliteEngine({database, policy, clock: systemClock, onRestored: onBug, onBug})
  const performed: StateEvent['type'][] = []
  const plane = new Plane({
    ...{engine, clock: systemClock, makeRoom: () => {}, logError: onBug},
    perform: ({type}) => {
      if (type === 'task') throw new Error('a follower is broken')
      performed.push(type)
    },
  })
  addWorker(plane, 'w', {codebases: ['c']})
  await plane.durable()
  performed.length = 0
  addTask(plane, 't', 'c')
  await plane.durable()
  expect(bugs).toEqual([new Error('a follower is broken')])
  expect(performed).toEqual(['give'])
  plane.stop()
  database.close()
})
