import {execFileSync} from 'node:child_process'
import {chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {complete, type LiveKind} from '../../src/completion/complete.ts'
import {program} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {openTerminal} from '../support/terminal.ts'
import {says} from '../support/workshop.ts'
import manifest from '../../oclif.manifest.json' with {type: 'json'}

/** What people try because other tools have it. */
let fleet: Awaited<ReturnType<typeof startFleet>>
let path = ''

beforeAll(async () => {
  fleet = await startFleet({isPlaneProcess: true})
  path = repository(join(fleet.path, 'served'))
})
afterAll(() => fleet[Symbol.asyncDispose]())

test('config get prints one value, masks secrets, and exits 1 without a value', async () => {
  expect(await fleet.cli(['config', 'get', 'poll_interval'])).toMatchObject({code: 0, stdout: '5\n'})
  expect(await fleet.cli(['config', 'get', 'redis_url'])).toMatchObject({
    code: 1,
    stdout: '',
    stderr: 'redis_url is not set.\n',
  })
  const env = {...fleet.env, A2A_AUTH_TOKEN: 'a-token-of-mine'}
  expect((await fleet.run(['config', 'get', 'auth_token'], {env})).stdout).toBe('********\n')
  expect((await fleet.run(['config', 'get', 'auth_token', '--reveal'], {env})).stdout).toBe('a-token-of-mine\n')
  expect(await fleet.cli(['config', 'get', 'pol_interval'])).toMatchObject({
    ...{code: 2, stderr: expect.stringContaining('Did you mean poll_interval')},
  })
})

test('logs shows what the worker has said, and follows it; stop waits for the running task', async () => {
  expect(await fleet.cli(['logs'])).toMatchObject({code: 69, stderr: expect.stringContaining('a2a-worker start')})
  const worker = await fleet.worker('w', [path])
  expect((await fleet.cli(['logs', '--lines', '50'])).stdout).toMatch(/INFO +Worker registered successfully as 'w'/)
  expect((await fleet.cli(['logs', '--lines', '0'])).stdout).toBe('')
  const following = fleet.start(['logs', '--follow', '--lines', '1'])
  await until(() => following.stdout() !== '', 'an older line')
  const {stdout: id} = await fleet.cli(['tasks', 'create', '-b', path, '@ms=1500'])
  await until(() => following.stdout().includes('Executing task'), 'the log of the task')
  const stopped = await fleet.cli(['stop'])
  expect(stopped).toMatchObject({code: 0, stdout: expect.stringMatching(/^Worker w \(pid \d+\) has stopped\.$/m)})
  expect(stopped.stderr).toMatch(/Worker w (finishes|is stopping)/)
  expect((await fleet.ended(id.trim())).status).toBe('completed')
  expect((await worker.finished).code).toBe(0)
  expect((await following.finished).stderr).toContain('Worker w has ended.')
  expect((await fleet.cli(['stop'])).code).toBe(69)
})

test('several workers must be chosen between, and stop --cancel cancels their tasks', async () => {
  const other = repository(join(fleet.path, 'other'))
  const [one, two] = await Promise.all([fleet.worker('one', [path]), fleet.worker('two', [other])])
  expect(await fleet.cli(['stop'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/Several workers run here: one, two|two, one/),
  })
  const {stdout: id} = await fleet.cli(['tasks', 'create', '-b', path, '@hang'])
  await says(one, 'Executing task')
  expect((await fleet.cli(['stop', '--name', 'one', '--cancel'])).code).toBe(0)
  expect((await fleet.ended(id.trim())).status).toBe('cancelled')
  expect((await fleet.cli(['stop', '--name', 'two'])).code).toBe(0)
  await two.finished
})

describe('on a terminal', () => {
  test('tasks list --watch shows changes, and leaves the last list', async () => {
    using terminal = await openTerminal({cwd: path, env: {...fleet.env, A2A_SERVER_URL: fleet.url}, columns: 100})
    terminal.run('tasks', 'list', '--watch')
    await terminal.shows('Ctrl-C ends it')
    await fleet.cli(['tasks', 'create', '-b', path, '--title', 'a new one', '@lines=1'])
    await terminal.shows('a new one')
    terminal.press('C-c')
    await terminal.isRestored('a new one')
    expect(await fleet.cli(['status', '--watch'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('needs a terminal'),
    })
  })

  test('tasks create without a prompt opens the editor; an empty text creates nothing', async () => {
    const bin = join(fleet.path, 'bin')
    mkdirSync(bin, {recursive: true})
    const editor = (name: string, script: string) => {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`)
      chmodSync(join(bin, name), 0o755)
      return join(bin, name)
    }
    const write = editor('write', `printf '# A heading\\n@lines=1\\n' | cat - "$1" > "$1.new" && mv "$1.new" "$1"`)
    const fail = editor('fail', 'exit 3')
    const open = (command: string) =>
      openTerminal({cwd: path, env: {...fleet.env, A2A_SERVER_URL: fleet.url, EDITOR: command, TMPDIR: fleet.path}})
    {
      using terminal = await open(write)
      terminal.run('tasks', 'create')
      await terminal.shows('tasks output')
      const tasks = (await fleet.http.call('GET', '/v1/opencode/tasks?order=newest&limit=1')).body as {prompt: string}[]
      expect(tasks[0]).toMatchObject({prompt: '# A heading\n@lines=1', title: '# A heading'})
    }
    {
      using terminal = await open('true')
      terminal.run('tasks', 'create')
      await terminal.shows('Nothing was written, so no task was created.')
      expect(readdirSync(fleet.path).filter((name) => name.startsWith('a2a-prompt'))).toEqual([])
    }
    {
      using terminal = await open(fail)
      terminal.run('tasks', 'create')
      await terminal.shows('it exited with 3')
      await terminal.shows('Your text is in')
    }
  })
})

describe('completion', () => {
  const commands = Object.values(manifest.commands) as never
  const topics = [{name: 'tasks', description: 'Tasks'}] as never
  const live = async (kind: LiveKind) => [{word: `a-${kind}`, about: ''}]
  const words = async (...typed: string[]) => {
    const {candidates, files} = await complete(typed, {commands, topics}, live)
    return files ? 'files' : candidates.map(({word}) => word).join(' ')
  }

  test('knows commands, flags, options, and which values are names of what', async () => {
    expect(await words('ta')).toBe('tasks')
    expect(await words('tasks', 'c')).toBe('cancel create')
    expect(await words('comp')).toBe('completion')
    expect(await words('tasks', 'list', '--st')).toBe('--status')
    expect(await words('tasks', 'list', '--status', 'p')).toBe('pending')
    expect(await words('tasks', 'list', '--oldest', '--o')).toBe('')
    expect(await words('tasks', 'create', '-b', '')).toBe('a-codebase')
    expect(await words('tasks', 'create', 'a prompt', '--model', '')).toBe('a-model')
    expect(await words('tasks', 'create', '--with', '')).toBe('a-agent')
    expect(await words('tasks', 'answer', '')).toBe('a-task')
    expect(await words('tasks', 'answer', 'id', '')).toBe('')
    expect(await words('config', 'get', '')).toBe('a-setting')
    expect(await words('tasks', 'create', '--key', '')).toBe('files')
    expect(await words('register', '')).toBe('files')
    expect(await words('nothing', '')).toBe('')
  })

  test('works in bash, and in fish and zsh where they are installed, with what the control plane has now', async () => {
    await fleet.cli(['tasks', 'create', '-b', path, '--title', 'to complete', '@lines=1'])
    const bin = join(fleet.path, 'complete')
    mkdirSync(bin)
    writeFileSync(join(bin, 'a2a-worker'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`)
    chmodSync(join(bin, 'a2a-worker'), 0o755)
    const env = {...fleet.env, A2A_SERVER_URL: fleet.url, PATH: `${bin}:${fleet.env['PATH']}`}
    const run = (shell: string, script: string) => execFileSync(shell, ['-c', script], {env, encoding: 'utf8'})
    const bash = (line: string) =>
      run(
        'bash',
        `source <(a2a-worker completion bash); COMP_WORDS=(a2a-worker ${line}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _a2a_worker; printf '%s\\n' "\${COMPREPLY[@]}"`,
      )
    expect(bash('tasks cr')).toBe('create\n')
    expect(bash('tasks create --codebase ser')).toBe('served\n')
    expect(bash('tasks get ""')).toMatch(/^[0-9a-f]{8}$/m)
    if (existsSync('/usr/bin/fish'))
      expect(run('fish', `a2a-worker completion fish | source; complete -C 'a2a-worker tasks get '`)).toMatch(
        /^[0-9a-f]{8}\t.*to complete$/m,
      )
    expect((await fleet.run(['completion'], {env: {...env, SHELL: '/bin/zsh'}})).stdout).toMatch(/^#compdef a2a-worker/)
    expect(await fleet.run(['completion'], {env: {...env, SHELL: '/bin/tcsh'}})).toMatchObject({
      ...{code: 2, stderr: expect.stringContaining('bash, zsh, fish')},
    })
  })
})
