import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {startRedis} from '../support/redis.ts'
import {assertRunning, openWorkshop} from '../support/workshop.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'

test.skipIf(process.platform !== 'linux')(
  'a worker shows no secret in its environment and arguments, and uses them all the same',
  async () => {
    const tokens = [{name: 'me', scope: 'admin' as const, token: 'token-of-the-worker'}]
    const env = {
      A2A_AUTH_TOKEN: 'token-of-the-worker',
      SOME_API_KEY: 'key-for-agents',
      DATABASE_URL: 'postgres://me:password-in-url@localhost/db',
      A2A_ENV_ALLOW: 'SOME_API_KEY',
      OPENCODE_BIN_PATH: stubBinary,
    }
    await using fleet = await startFleet({tokens, env})
    const tree = repository(join(fleet.path, 'p'))
    const worker = await fleet.worker('w', [tree], ['--redis-url', 'redis://me:password-in-argument@127.0.0.1:1'])
    const script = `${printing(stepStart())}tr '\\0' '\\n' <"/proc/$PPID/environ" >seen; echo "$SOME_API_KEY" >key; ${answering('done')}`
    const {id} = await fleet.http.task(await fleet.codebaseId(tree), {prompt: script})
    expect(await fleet.ended(id)).toMatchObject({status: 'completed'})
    const shown = ['environ', 'cmdline'].map((name) => readFileSync(`/proc/${worker.process.pid}/${name}`, 'utf8'))
    const [environ = '', cmdline = ''] = shown
    expect(environ).toContain('A2A_AUTH_TOKEN=*******************\0')
    expect(environ).toContain('postgres://me:***************@localhost/db')
    expect(environ).toContain(`OPENCODE_BIN_PATH=${stubBinary}`)
    expect(cmdline).not.toContain('password-in-argument')
    for (const secret of ['token-of-the-worker', 'key-for-agents', 'password-in-url'])
      expect(environ).not.toContain(secret)
    expect(readFileSync(join(tree, 'seen'), 'utf8')).not.toContain('token-of-the-worker')
    expect(readFileSync(join(tree, 'key'), 'utf8')).toBe('key-for-agents\n') // that one is meant for agents
  },
)

test.skipIf(process.platform !== 'linux')('serve shows neither its tokens nor the password of its Redis', async () => {
  await using redis = await startRedis({password: 'password-of-redis'})
  await using shop = openWorkshop({A2A_AUTH_TOKENS: 'me:token-of-a-person', A2A_REDIS_URL: redis.url})
  const plane = shop.start(['serve', '--port', '0'])
  const url = await until(() => plane.stdout().trim() || assertRunning(plane), 'the control plane')
  const environ = readFileSync(`/proc/${plane.process.pid}/environ`, 'utf8')
  for (const secret of ['token-of-a-person', 'password-of-redis']) expect(environ).not.toContain(secret)
  const headers = {authorization: 'Bearer token-of-a-person'}
  expect((await fetch(`${url}/v1/opencode/tasks`, {headers})).status).toBe(200)
})
