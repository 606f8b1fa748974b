import {chmodSync, chownSync, copyFileSync, mkdirSync, rmSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {describe, expect, test} from 'vitest'
import {error, printing, stepStart} from '../support/agent-lines.ts'
import {startOneWorker} from '../support/one-worker.ts'
import {says, openWorkshop} from '../support/workshop.ts'
import {stubBinary} from '../support/stub-executor.ts'

describe('a key and an agent of SSH that are exported, but not in env_allow', () => {
  const exported = {ANTHROPIC_API_KEY: 'sk-1', SSH_AUTH_SOCK: '/run/ssh', MY_API_KEY: 'mine', EMPTY_API_KEY: ''}
  const env = {...exported, A2A_ENV_ALLOW: 'MY_*'}

  test('start and doctor name them, without their values', async () => {
    await using place = await startOneWorker({env})
    await says(place.worker, 'Agents do not get ANTHROPIC_API_KEY, SSH_AUTH_SOCK; to give them to agents, name them')
    const {stdout} = await place.cli(['doctor'])
    expect(stdout).toContain('environment: agents do not get ANTHROPIC_API_KEY, SSH_AUTH_SOCK')
    expect(stdout).toContain('a2a-worker config set env_allow MY_*,ANTHROPIC_API_KEY,SSH_AUTH_SOCK')
    for (const text of [stdout, place.worker.stderr()]) expect(text).not.toMatch(/sk-1|EMPTY_API_KEY|MY_API_KEY/)
  })

  test('the error of a task names those that it may have lacked', async () => {
    await using place = await startOneWorker({env})
    const failing = async (script: string) => (await place.ended(await place.begin(script))).error
    const auth = await failing(printing(stepStart(), error('APIError', 'invalid x-api-key')))
    expect(auth).toMatch(/invalid x-api-key \(agents do not get ANTHROPIC_API_KEY; to give them .*env_allow\)$/)
    const ssh = await failing(`${printing(stepStart())}echo 'git@forge: Permission denied (publickey).' >&2; exit 1\n`)
    expect(ssh).toMatch(/publickey.*\(agents do not get SSH_AUTH_SOCK; to give them .*env_allow\)$/)
    expect(await failing(`${printing(stepStart())}echo 'no such file' >&2; exit 1\n`)).not.toContain(
      'agents do not get',
    )
  })
})

describe('two OpenCode programs', () => {
  const install = (path: string) => {
    mkdirSync(dirname(path), {recursive: true})
    copyFileSync(stubBinary, path)
    chmodSync(path, 0o755)
    return path
  }
  /** A workshop in which OpenCode is searched, with the given folders on PATH. */
  function searching(...folders: string[]) {
    const shop = openWorkshop()
    const {OPENCODE_BIN_PATH: _configured, ...env} = shop.env
    const path = [...folders.map((folder) => join(shop.path, folder)), env['PATH']].join(':')
    return {shop, env: {...env, PATH: path}, home: join(shop.path, 'home')}
  }

  test('the one on PATH wins over the one in the home, and start and doctor name both', async () => {
    const {shop, env, home} = searching('mine')
    await using _shop = shop
    const used = install(join(shop.path, 'mine/opencode'))
    const other = install(join(home, '.opencode/bin/opencode'))
    const both = `OpenCode 1.18.33 at ${used} (PATH; not used: ${other})`
    const worker = shop.start(['start', '--local', '--codebase', shop.path], {env})
    await says(worker, both)
    expect((await shop.cli(['doctor'], {env})).stdout).toContain(both.replace('OpenCode ', 'OpenCode: '))
  })

  test.skipIf(process.getuid?.() !== 0)(
    'for root, and for a service, a program that others can replace never wins over the one of the system',
    async () => {
      const {shop, env} = searching('theirs', 'system')
      await using _shop = shop
      const theirs = install(join(shop.path, 'theirs/opencode'))
      const system = install(join(shop.path, 'system/opencode'))
      chmodSync(shop.path, 0o755)
      const found = async () => (await shop.cli(['doctor'], {env})).stdout
      expect(await found()).toContain(`at ${theirs} (PATH; not used: ${system})`)
      chownSync(dirname(theirs), 54_321, 54_321)
      expect(await found()).toContain(`at ${system} (PATH; not used: ${theirs})`)
      chownSync(dirname(theirs), 0, 0)
      chmodSync(theirs, 0o775)
      expect(await found()).toContain(`at ${system} (PATH; not used: ${theirs})`)
      // As a user who owns the first program, once by hand and once as a service.
      for (const path of [theirs, join(shop.path, 'home'), shop.path]) chownSync(path, 54_321, 54_321)
      const by = ['setpriv', '--reuid', '54321', '--regid', '54321', '--clear-groups']
      const asUser = async (more: Record<string, string>) =>
        (await shop.cli(['doctor'], {env: {...env, ...more}, by})).stdout
      rmSync(join(shop.path, 'state'), {recursive: true, force: true})
      expect(await asUser({})).toContain(`at ${theirs} (PATH; not used: ${system})`)
      expect(await asUser({NOTIFY_SOCKET: '/nowhere'})).toContain(`at ${system} (PATH; not used: ${theirs})`)
    },
  )
})
