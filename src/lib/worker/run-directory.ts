import {mkdirSync, readdirSync, rmdirSync, rmSync, statSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {cannotWrite} from '../config/state-directory.ts'
import {runFiles} from '../executor/executor.ts'

/** Ids come from the server; in a path they are taken only as what they should be. */
export const isSafeId = (id: string) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id)

/** The folder of one run, made anew and private. Throws ExpectedError (73). */
export function makeRunDirectory(workerDir: string, taskId: string, attempt: number): string {
  const path = join(workerDir, 'runs', taskId, String(attempt))
  try {
    rmSync(path, {recursive: true, force: true})
    mkdirSync(path, {recursive: true, mode: 0o700})
    return path
  } catch (error) {
    throw cannotWrite(path, error)
  }
}

/** Takes a run's folder away that will not be needed: the task went to somebody else. */
export function removeRunDirectory(path: string): void {
  if (path === '') return
  try {
    rmSync(path, {recursive: true, force: true})
    rmdirSync(dirname(path)) // the task's, unless an earlier attempt is in it
  } catch {
    // Tidied with the next runs.
  }
}

const keptRuns = 50

/** After a run: its temporary folder goes, and of all runs only the newest stay, for people to look into. */
export function tidyRuns(workerDir: string, runDir: string, active: ReadonlySet<string>): void {
  const folder = join(workerDir, 'runs')
  try {
    rmSync(join(runDir, runFiles.tmp), {recursive: true, force: true})
    const names = readdirSync(folder)
    if (names.length <= keptRuns) return
    const dated = names
      .filter((name) => !active.has(name))
      .map((name) => ({name, at: statSync(join(folder, name)).mtimeMs}))
    for (const {name} of dated.sort((a, b) => b.at - a.at).slice(keptRuns))
      rmSync(join(folder, name), {recursive: true, force: true})
  } catch {
    // Tidying is never a reason to fail a task; what is left is tried again after the next one.
  }
}
