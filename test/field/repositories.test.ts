import {execFileSync} from 'node:child_process'
import {chmodSync, mkdirSync, symlinkSync} from 'node:fs'
import {join} from 'node:path'
import {describe, expect, test} from 'vitest'
import {start} from '../support/cli.ts'
import {subjectToPermissions} from '../support/permissions.ts'
import {openWorkshop} from '../support/workshop.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'

describe('a codebase that is reached through a symbolic link', () => {
  /** `srv/api` links to `data/api`. */
  function linkedCodebase(folder: string) {
    const real = repository(join(folder, 'data/api'))
    mkdirSync(join(real, 'src'))
    mkdirSync(join(folder, 'srv'))
    const link = join(folder, 'srv/api')
    symlinkSync(real, link)
    return {real, link}
  }

  test('tasks create works inside either spelling of its path, and with either as --codebase', async () => {
    await using fleet = await startFleet()
    const {real, link} = linkedCodebase(fleet.path)
    await fleet.worker('w', [link])
    const id = await fleet.codebaseId(link)
    const created = async (cwd: string, ...args: string[]) => {
      const {code, stdout, stderr} = await fleet.run(['tasks', 'create', 'hello', '--json', ...args], {cwd})
      return code === 0 ? (JSON.parse(stdout) as {codebase_id: string}).codebase_id : stdout + stderr
    }
    for (const cwd of [link, real, join(link, 'src'), join(real, 'src')]) expect(await created(cwd)).toBe(id)
    for (const path of [link, real, `${real}/`, '../data/api'])
      expect(await created(join(fleet.path, 'srv'), '--codebase', path)).toBe(id)
    expect(await created(fleet.path)).toContain('No codebase contains the current directory')
  })

  test('both spellings in the configuration, or registered later, are one codebase', async () => {
    await using fleet = await startFleet()
    const {real, link} = linkedCodebase(fleet.path)
    const codebases = async () => {
      const {body} = await fleet.http.call('GET', '/v1/opencode/codebases')
      return (body as {path: string}[]).map(({path}) => path)
    }
    await fleet.worker('w', [link, real])
    await until(async () => (await codebases()).includes(link), 'the codebase')
    expect(await fleet.run(['register', real], {cwd: fleet.path})).toMatchObject({code: 0})
    expect(await codebases()).toEqual([link])
    const {stdout} = await fleet.run(['config', 'show', '--json'], {
      cwd: fleet.path,
      env: {...fleet.env, A2A_CODEBASES: link},
    })
    expect(stdout).toContain(link)
    expect(stdout).not.toContain(`"${real}"`)
  })
})

describe('a current directory that has been deleted', () => {
  /** Runs a command in a directory that is deleted before the command starts. */
  function runInDeleted(folder: string, env: Record<string, string>) {
    const by = ['sh', '-c', `mkdir ${folder}/gone && cd ${folder}/gone && rmdir ${folder}/gone && exec "$@"`, 'sh']
    return (...args: string[]) => start(args, {cwd: folder, env, by}).finished
  }

  test('commands that do not need it work', async () => {
    await using fleet = await startFleet()
    const path = repository(join(fleet.path, 'p'))
    await fleet.worker('w', [path])
    const run = runInDeleted(fleet.path, {...fleet.env, A2A_SERVER_URL: fleet.url})
    const commands = [
      ['config', 'show'],
      ['status'],
      ['tasks', 'list'],
      ['codebases', 'list'],
      ['sessions', 'list'],
      ['tasks', 'create', 'hello', '--codebase', path, '--wait'],
      ['register', path],
      ['doctor'],
    ]
    for (const args of commands) expect({args, ...(await run(...args))}).toMatchObject({args, code: 0})
  })

  test('commands that need it say so in one line, without a stack', async () => {
    await using fleet = await startFleet()
    const run = runInDeleted(fleet.path, {...fleet.env, A2A_SERVER_URL: fleet.url})
    const commands = [
      ['tasks', 'create', 'hello'],
      ['register'],
      ['start', '--local'],
      ['sessions', 'sync'],
      ['sessions', 'list', '--codebase', 'api'],
    ]
    for (const args of commands) {
      const {code, stderr} = await run(...args)
      expect({args, code, stderr}).toMatchObject({
        args,
        code: 2,
        stderr: expect.stringMatching(/Error: The current directory has been deleted\.\n  → Change to a directory/),
      })
      expect(stderr).not.toContain('    at ')
    }

    const relative = await run('start', '--codebase', 'api', '--local')
    expect(relative).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('because the current directory has been deleted'),
    })
  })
})

test('doctor names the git folders outside of a codebase that its user cannot use', async () => {
  await using shop = openWorkshop()
  const git = (cwd: string, ...args: string[]) => execFileSync('git', args, {cwd, stdio: 'pipe'})
  const main = repository(join(shop.path, 'main'))
  git(main, 'worktree', 'add', '-q', '../linked')
  git(shop.path, 'clone', '-q', '--shared', 'main', 'borrowed')
  const env = {
    ...shop.env,
    A2A_GIT_IDENTITY: 'Jo <jo@example.org>',
    A2A_CODEBASES: `${join(shop.path, 'linked')},${join(shop.path, 'borrowed')}`,
  }
  const doctor = async () => (await shop.cli(['doctor'], {env, by: subjectToPermissions})).stdout
  const before = await doctor()
  for (const name of ['linked', 'borrowed']) expect(before).toContain(`✓ codebase ${name}`)
  chmodSync(join(main, '.git'), 0o500)
  chmodSync(join(main, '.git/objects'), 0o000)
  const found = await doctor()
  chmodSync(join(main, '.git'), 0o755)
  chmodSync(join(main, '.git/objects'), 0o755)
  expect(found).toContain(
    `the git of ${join(shop.path, 'linked')} needs to write ${main}/.git, but this user cannot: commits fail`,
  )
  expect(found).toContain(
    `the git of ${join(shop.path, 'borrowed')} needs to read ${main}/.git/objects, but this user cannot: commits fail`,
  )
})
