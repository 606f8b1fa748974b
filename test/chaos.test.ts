import {execFile} from 'node:child_process'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {root} from './support/cli.ts'

const run = promisify(execFile)
const args = [join(root, 'chaos/chaos.ts'), '--minutes', '0.3', '--seed', '1', '--no-real']

test.skipIf(process.platform !== 'linux')(
  'a short chaos run with real processes and all kinds of faults loses no byte of output',
  async () => {
    const {stdout} = await run(process.execPath, args).catch((error: {stdout: string; stderr: string}) => ({
      stdout: error.stdout + error.stderr,
    }))
    expect(stdout).toContain('Nothing was lost.')
  },
  300_000,
)
