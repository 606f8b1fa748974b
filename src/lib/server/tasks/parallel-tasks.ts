import {usageError} from '../../core/errors.ts'

/** How many tasks may run at once in the working tree of a codebase, by its id, name or path, or `*` for all others. */
export type ParallelTasks = ReadonlyMap<string, number>

/** Parses `CODEBASE=N`, or several of them separated by commas. Throws ExpectedError (2) for anything else. */
export function parseParallelTasks(texts: readonly string[]): ParallelTasks {
  const entries = texts.flatMap((text) => text.split(',').filter((entry) => entry.trim() !== ''))
  return new Map(
    entries.map((entry) => {
      const [, codebase, count] = /^\s*(.+)=\s*([1-9]\d{0,2})\s*$/.exec(entry) ?? []
      if (codebase === undefined)
        throw usageError(`--parallel-tasks takes CODEBASE=N, with N from 1 to 999, not ${entry}.`)
      return [codebase.trim(), Number(count)]
    }),
  )
}
