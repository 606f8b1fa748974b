import {execFile} from 'node:child_process'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {root} from './support/cli.ts'

const run = promisify(execFile)
const args = [join(root, 'chaos/chaos.ts'), '--minutes', '0.4', '--seed', '1', '--no-real']

test.skipIf(process.platform !== 'linux')(
  'a short run of chaos loses nothing: faults of each kind, real processes, output known to the byte',
  async () => {
    const {stdout} = await run(process.execPath, args).catch((error: {stdout: string; stderr: string}) => ({
      stdout: error.stdout + error.stderr,
    }))
    expect(stdout).toContain('Nothing was lost.')
  },
  300_000,
)
