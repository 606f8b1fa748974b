import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

/** Makes a folder for what several test files of a run share, and removes it after the run (Vitest: `globalSetup`). */
export default function makeRunFolder(): () => void {
  const path = mkdtempSync(join(tmpdir(), 'a2a-tests-'))
  process.env['A2A_TEST_FOLDER'] = path
  return () => rmSync(path, {recursive: true, force: true})
}
