// Compiles src to dist, and copies the files of the monitor page. Empties dist first, so that no compiled file remains
// without its source.
import {execFileSync} from 'node:child_process'
import {cpSync, rmSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
rmSync(join(root, 'dist'), {recursive: true, force: true})
execFileSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')],
  {
    stdio: 'inherit',
    cwd: root,
  },
)
const assets = 'lib/server/page/views/assets'
cpSync(join(root, 'src', assets), join(root, 'dist', assets), {recursive: true})
