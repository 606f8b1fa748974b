// Looks for what the tests need of the machine, then runs them. What is missing is named with its Debian package.
import {spawnSync} from 'node:child_process'
import {existsSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const has = (program) => spawnSync(program, ['--version'], {stdio: 'ignore'}).error === undefined

for (const program of ['git', 'openssl'])
  if (!has(program)) {
    process.stderr.write(`The tests need ${program} (Debian package: ${program}).\n`)
    process.exit(1)
  }

if (!has('rg'))
  process.stderr.write('Warning: ripgrep is missing (Debian package: ripgrep); OpenCode cannot search without it.\n')
if (
  process.platform === 'linux' &&
  process.arch === 'x64' &&
  !existsSync(join(root, 'node_modules/opencode-linux-x64/bin/opencode'))
) {
  process.stderr.write('The real OpenCode is missing from node_modules; run npm ci.\n')
  process.exit(1)
}

const vitest = join(root, 'node_modules/vitest/vitest.mjs')
const {status} = spawnSync(process.execPath, [vitest, 'run', ...process.argv.slice(2)], {stdio: 'inherit', cwd: root})
process.exit(status ?? 1)
