import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {probeOpenCode} from '../../../src/lib/opencode/program/probe.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {stubBinary} from '../../support/stub-executor.ts'

const env = {PATH: process.env['PATH']}

const script = (folder: string, body: string) => {
  const path = join(folder, 'opencode')
  writeFileSync(path, `#!/bin/sh\n${body}\n`, {mode: 0o755})
  return path
}

test('reads the version and the flags of run', async () => {
  const probe = await probeOpenCode(stubBinary, env)
  expect(probe.version).toBe('1.18.0')
  expect([...probe.flags]).toEqual(['--format', '--agent', '--model', '--session', '--title'])
  expect(probe.warnings).toEqual([])
})

test('finds the help on stderr, too, and warns of an old version', async () => {
  using scratch = scratchFolder()
  const old = script(scratch.path, '[ "$1" = run ] && echo "  --format  json" >&2 || echo 1.0.152')
  const probe = await probeOpenCode(old, env)
  expect(probe.flags.has('--format')).toBe(true)
  expect(probe.warnings).toEqual([expect.stringContaining('older than 1.1.65')])
})

test('warns of missing programs by their Debian package', async () => {
  using scratch = scratchFolder()
  const {warnings} = await probeOpenCode(script(scratch.path, 'echo 1.2.3 --format'), {PATH: scratch.path})
  expect(warnings).toEqual([expect.stringContaining('ripgrep'), expect.stringContaining('git')])
})

test('refuses a program without a version, and quotes its output', async () => {
  using scratch = scratchFolder()
  const stub = script(scratch.path, 'echo "postinstall script was not run" >&2; exit 1')
  await expect(probeOpenCode(stub, env)).rejects.toMatchObject({
    code: 'OPENCODE_BROKEN',
    exitCode: 78,
    message: expect.stringContaining('postinstall script was not run'),
  })
})
