import {execFileSync} from 'node:child_process'
import {chmodSync, chownSync, copyFileSync, mkdirSync, rmSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {describe, expect, test} from 'vitest'
import {answering, error, printing, stepStart} from '../support/agent-lines.ts'
import {startFleet} from '../support/fleet.ts'
import {startOneWorker} from '../support/one-worker.ts'
import {says, openWorkshop} from '../support/workshop.ts'
import {asStranger, strangerUid} from '../support/stranger.ts'
import {repository} from '../support/scratch.ts'
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
    const both = `OpenCode 1.18.0 at ${used} (PATH; not used: ${other})`
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
      chownSync(dirname(theirs), strangerUid, strangerUid)
      expect(await found()).toContain(`at ${system} (PATH; not used: ${theirs})`)
      chownSync(dirname(theirs), 0, 0)
      chmodSync(theirs, 0o775)
      expect(await found()).toContain(`at ${system} (PATH; not used: ${theirs})`)
      // As a user who owns the first program, once by hand and once as a service.
      for (const path of [theirs, join(shop.path, 'home'), shop.path]) chownSync(path, strangerUid, strangerUid)
      const by = asStranger()
      const asUser = async (more: Record<string, string>) =>
        (await shop.cli(['doctor'], {env: {...env, ...more}, by})).stdout
      rmSync(join(shop.path, 'state'), {recursive: true, force: true})
      expect(await asUser({})).toContain(`at ${theirs} (PATH; not used: ${system})`)
      expect(await asUser({NOTIFY_SOCKET: '/nowhere'})).toContain(`at ${system} (PATH; not used: ${theirs})`)
    },
  )
})

describe('git of the agents', () => {
  test.skipIf(process.getuid?.() !== 0)(
    'a checkout of another user, which git refuses, is named by start and doctor, with the fix',
    async () => {
      await using fleet = await startFleet()
      const tree = repository(join(fleet.path, 'p'))
      for (const path of [tree, join(tree, '.git')]) chownSync(path, strangerUid, strangerUid)
      const worker = await fleet.worker('w', [tree])
      const refused = `git refuses to work in ${tree}, because it belongs to another user (uid ${strangerUid})`
      const fix = `git config --global --add safe.directory ${tree}`
      expect(worker.stderr()).toContain(`${refused}. Run: ${fix}`)
      const doctor = async () => (await fleet.run(['doctor'], {env: {...fleet.env, A2A_CODEBASES: tree}})).stdout
      expect(await doctor()).toContain(`${refused}\n    → ${fix}\n`)
      execFileSync('git', fix.split(' ').slice(1), {env: fleet.env})
      expect(await doctor()).not.toContain('git refuses')
    },
  )

  test('without an author, doctor says so; git_identity provides one, and a bad one is refused', async () => {
    const identity = 'Agent Smith <smith@example.org>'
    await using place = await startOneWorker({env: {A2A_GIT_IDENTITY: identity}})
    const commit = 'echo more >>README.md; git commit -qam more'
    expect((await place.ended(await place.begin(`${commit} && ${answering('done')}`))).status).toBe('completed')
    const log = ['log', '-1', '--format=%an <%ae>, %cn <%ce>']
    expect(execFileSync('git', log, {cwd: place.tree, encoding: 'utf8'})).toBe(`${identity}, ${identity}\n`)
    const doctor = async (text: string) =>
      (await place.run(['doctor'], {env: {...place.env, A2A_CODEBASES: place.tree, A2A_GIT_IDENTITY: text, EMAIL: ''}}))
        .stdout
    expect(await doctor(identity)).not.toContain('knows no author')
    expect(await doctor('Smith')).toContain('git_identity (A2A_GIT_IDENTITY): must be like Jo Doe <jo@example.org>')
    execFileSync('git', ['config', 'user.useConfigOnly', 'true'], {cwd: place.tree})
    const without = await doctor('')
    expect(without).toContain(`git knows no author in ${place.tree}: commits fail`)
    expect(without).toContain('"git_identity": "NAME <EMAIL>"')
  })
})
