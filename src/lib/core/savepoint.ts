import type {Database} from './sqlite.ts'

/**
 * Returns the function that runs work within the open transaction: all of its writes or none. It throws what the work
 * throws, after a rollback. A full disk may have ended the whole transaction then.
 */
export function savepointsOf(database: Database): <Result>(work: () => Result) => Result {
  const [begin, release] = ['SAVEPOINT step', 'RELEASE step'].map((sql) => database.prepare(sql))
  return (work) => {
    begin?.run()
    try {
      const result = work()
      release?.run()
      return result
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK TO step; RELEASE step')
      throw error
    }
  }
}
