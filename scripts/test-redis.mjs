// Runs the tests of the control plane once more, with the state of each in a Redis of its own: both engines must do the
// same. `npm run test:redis [FILES]`
import {spawn, spawnSync} from 'node:child_process'
import {once} from 'node:events'
import {createServer} from 'node:net'
import {dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const files = process.argv.slice(2)

const server = createServer().listen(0, '127.0.0.1')
await once(server, 'listening')
const {port} = server.address()
server.close()
await once(server, 'close')

const redis = spawn(
  'redis-server',
  ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
)
let output = ''
for await (const chunk of redis.stdout) {
  output += String(chunk)
  if (output.includes('Ready to accept connections')) break
}

const env = {...process.env, A2A_TEST_REDIS: `redis://127.0.0.1:${port}`}
const args = [
  join(root, 'node_modules/vitest/vitest.mjs'),
  'run',
  ...(files.length > 0 ? files : ['test/server', 'test/peers']),
]
const {status} = spawnSync(process.execPath, args, {stdio: 'inherit', cwd: root, env})
redis.kill()
process.exit(status ?? 1)
