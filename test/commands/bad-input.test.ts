import {spawnSync} from 'node:child_process'
import {chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {createServer} from 'node:http'
import {once} from 'node:events'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {cli, environment, program, stubAgent} from '../support/cli.ts'
import {subjectToPermissions} from '../support/permissions.ts'
import {startPlane} from '../support/plane.ts'
import {repository, scratchFolder} from '../support/scratch.ts'

const scratch = scratchFolder()
const env = environment(scratch.path, {OPENCODE_BIN_PATH: stubAgent})
const home = join(scratch.path, 'home')
const project = join(scratch.path, 'project')
let plane: Awaited<ReturnType<typeof startPlane>>

beforeAll(async () => {
  mkdirSync(home)
  repository(project)
  plane = await startPlane({tokens: [{name: 't', token: 'sesame-sesame', scope: 'admin'}]})
  const headers = {authorization: 'Bearer sesame-sesame'}
  await plane.call('POST', '/v1/opencode/workers/register', {worker_id: 'w', name: 'w'}, headers)
  for (const name of ['website', 'backend'])
    await plane.call('POST', '/v1/opencode/codebases', {name, path: `/srv/${name}`, worker_id: 'w'}, headers)
})
afterAll(async () => {
  await plane.close()
  scratch[Symbol.dispose]()
})

const run = (args: string[], more: Record<string, string> = {}, input = '') =>
  cli(args, {cwd: project, env: {...env, ...more}, input})
const withPlane = (args: string[], token = 'sesame-sesame', input = '') =>
  run(args, {A2A_SERVER_URL: plane.url, A2A_AUTH_TOKEN: token}, input)

function config(text: string, mode = 0o600): string {
  const path = join(scratch.path, `config-${Math.random().toString(36).slice(2)}.json`)
  writeFileSync(path, text, {mode})
  return path
}

test('a server that is down: exit 69, with the address and what to check', async () => {
  const {code, stderr} = await run(['tasks', 'list', '--server', 'http://127.0.0.1:9'])
  expect(code).toBe(69)
  expect(stderr).toMatch(/http:\/\/127\.0\.0\.1:9: nothing listens there/)
  expect(stderr).not.toMatch(/\n\s+at /)
})

test('no server known: exit 69, with how to start or name one', async () => {
  expect(await run(['tasks', 'list'])).toMatchObject({code: 69, stderr: expect.stringMatching(/a2a-worker start/)})
})

test('a wrong token: exit 77, with where to set the token; also as JSON', async () => {
  expect(await withPlane(['tasks', 'list'], 'wrong-token')).toMatchObject({
    code: 77,
    stderr: expect.stringMatching(/Invalid token[^]*A2A_AUTH_TOKEN/),
  })
  const {code, stdout} = await withPlane(['tasks', 'list', '--json'], 'wrong-token')
  expect(code).toBe(77)
  expect(JSON.parse(stdout)).toMatchObject({error: {code: 'FORBIDDEN', exit: 77}})
})

test('an unknown codebase: exit 2 with similar names; no codebase in this directory: exit 2 with the choices', async () => {
  expect(await withPlane(['tasks', 'create', 'x', '--codebase', 'webiste'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/Did you mean website\?/),
  })
  expect(await withPlane(['tasks', 'create', 'x'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/No codebase contains[^]*There are: backend \(.*\), website \(/),
  })
})

test('a missing, empty, duplicate, too long or non-text prompt: exit 2', async () => {
  const file = join(scratch.path, 'binary')
  writeFileSync(file, Buffer.from([0xff, 0xfe, 0x00]))
  const long = join(scratch.path, 'long')
  writeFileSync(long, 'x'.repeat(1024 * 1024 + 1))
  const cases: [string[], string, RegExp][] = [
    [[], '', /There is no prompt/],
    [['  '], '', /The prompt is empty/],
    [['-'], '', /The prompt is empty/],
    [['x', '--file', file], '', /not both/],
    [['-'], 'x'.repeat(1024 * 1024 + 1), /at most 1048576/],
    [['--file', file], '', /not UTF-8/],
    [['--file', '/nowhere'], '', /\/nowhere cannot be read/],
    [['--file', long], '', /has 1048577 bytes; at most 1048576/],
    [['--file', scratch.path], '', /cannot be read: EISDIR/],
    [['x', '--metadata', 'nothing'], '', /KEY=VALUE/],
    [['x', '--resume', 'ses/../1'], '', /--resume needs the id of a session, not "ses/],
    [['x', '--nonsense'], '', /Nonexistent flag/],
  ]
  for (const [args, input, message] of cases) {
    const result = await withPlane(['tasks', 'create', '--codebase', 'website', ...args], undefined, input)
    expect(result, args.join(' ')).toMatchObject({code: 2, stderr: expect.stringMatching(message)})
  }
})

test.each([
  ['tasks lst', /no command a2a-worker tasks lst\.\n +→ Did you mean `a2a-worker tasks list`/],
  ['taks list', /Did you mean `a2a-worker tasks list`\?/],
  ['strat', /Did you mean `a2a-worker start`\?\n +→ All commands: a2a-worker --help/],
  ['tasks show 1234', /no command a2a-worker tasks show\.\n +→ Did you mean `a2a-worker tasks get`\?/],
  ['config unset name', /no command a2a-worker config unset\.\n +→ Did you mean `a2a-worker config set KEY --unset`\?/],
  ['strat --help', /no command a2a-worker strat\.\n +→ Did you mean `a2a-worker start`\?/],
  ['xyzzy', /no command a2a-worker xyzzy\.\n +→ All commands/],
])('a mistyped command (%s): exit 127 with the nearest names, without a terminal too', async (line, message) => {
  const {code, stdout, stderr} = await run(line.split(' '))
  expect({code, stdout}).toEqual({code: 127, stdout: ''})
  expect(stderr).toMatch(message)
  const json = await run([...line.split(' '), '--json'])
  expect(json).toMatchObject({code: 127, stderr: ''})
  expect(JSON.parse(json.stdout)).toMatchObject({error: {code: 'UNKNOWN_COMMAND', exit: 127}})
})

test('help for a mistyped command: exit 127 with the nearest names', async () => {
  const {code, stderr} = await run(['help', 'tasks', 'lst'])
  expect({code, stderr}).toEqual({code: 127, stderr: expect.stringMatching(/Did you mean `a2a-worker tasks list`/)})
})

test.each([
  [
    'tasks create x --follw',
    /Nonexistent flag: --follw\n +→ Did you mean --follow\?\n +→ All flags: a2a-worker tasks create --help\n/,
  ],
  ['start --nodashboard', /Did you mean --no-dashboard\?/],
  ['status --jsno', /Did you mean --json\?/],
  ['serve --ports 3 --hots x', /Did you mean --port or --host\?/],
  ['status --qqqqqq', /Nonexistent flag: --qqqqqq\n +→ All flags/],
])('a mistyped flag (%s): exit 2 with the nearest names', async (line, message) => {
  expect(await run(line.split(' '))).toMatchObject({code: 2, stderr: expect.stringMatching(message)})
})

test('a path that is not a directory cannot be registered: exit 2', async () => {
  expect(await withPlane(['register', '/nowhere'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/the path does not exist/),
  })
  expect(await withPlane(['register', join(project, 'README.md')])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/not a directory/),
  })
})

test('OpenCode missing: exit 78, with where it was named or how to install it', async () => {
  const start = ['start', '--server', plane.url, '--codebase', project]
  expect(await run([...start, '--opencode', '/nowhere/opencode'])).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/\/nowhere\/opencode[^]*opencode_bin/),
  })
  expect(await run([...start, '--opencode', '/bin/true'])).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/\/bin\/true does not print its version/),
  })
})

test('a missing ripgrep is only a warning', async () => {
  const bin = join(scratch.path, 'bin')
  mkdirSync(bin)
  symlinkSync(process.execPath, join(bin, 'node'))
  const args = ['start', '--server', plane.url, '--codebase', project, '--exit-after-idle', '1', '--name', 'no-rg']
  const {code, stderr} = await run(args, {PATH: bin, A2A_AUTH_TOKEN: 'sesame-sesame'})
  expect(stderr).toMatch(/WARN +`rg` is not on PATH[^]*WARN +`git` is not on PATH[^]*Worker is running/)
  expect(code).toBe(0)
})

test('a worker with a wrong token does not start: exit 77', async () => {
  const args = ['start', '--server', plane.url, '--codebase', project, '--name', 'stranger']
  expect(await run(args, {A2A_AUTH_TOKEN: 'wrong-token'})).toMatchObject({
    code: 77,
    stderr: expect.stringMatching(/Invalid token[^]*A2A_AUTH_TOKEN/),
  })
})

test('a codebase that does not exist or is not a directory is reported, and the others are served', async () => {
  const paths = ['/nowhere', join(project, 'README.md'), project].flatMap((path) => ['--codebase', path])
  const args = ['start', '--server', plane.url, ...paths, '--exit-after-idle', '1', '--name', 'some']
  const {code, stderr} = await run(args, {A2A_AUTH_TOKEN: 'sesame-sesame'})
  expect(stderr).toMatch(/'nowhere' at \/nowhere is not served: the path does not exist/)
  expect(stderr).toMatch(/README\.md is not served: it is not a directory/)
  expect(stderr).toMatch(/Registered codebase 'project'/)
  expect(code).toBe(0)
})

test('a worker without codebases says so, and how to add one', async () => {
  const args = ['start', '--server', plane.url, '--exit-after-idle', '1', '--name', 'idle']
  const {code, stderr} = await run(args, {A2A_AUTH_TOKEN: 'sesame-sesame'})
  expect(stderr).toMatch(/WARN +No codebase is served, so no task will come: add one with `a2a-worker register PATH`/)
  expect(code).toBe(0)
})

test('the home directory and the root are not served by accident: exit 2', async () => {
  for (const cwd of [home, '/'])
    expect(await cli(['start'], {cwd, env})).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/Not serving .* as a codebase[^]*--codebase PATH/),
    })
})

test('missing, broken or invalid configuration, or one without a server: exit 78, naming file and key', async () => {
  const cases: [string, RegExp][] = [
    ['/nowhere.json', /\/nowhere\.json does not exist/],
    [config('{"server_url": '), /is not valid JSON/],
    [config('[]'), /must contain a JSON object/],
    [
      config('{"server_url": "https://x", "poll_interval": "soon"}'),
      /poll_interval \(.*config-.*\): must be a whole number, not "soon"/,
    ],
    [config('{"server_url": "ftp://x"}'), /server_url .*must be an address/],
    [config('{"max_concurrent_tasks": 0, "poll_interval": -1}'), /poll_interval[^]*max_concurrent_tasks/],
    [config('{"worker_name": "w"}'), /has no server_url[^]*--local/],
  ]
  for (const [path, message] of cases)
    expect(await run(['start', '--config', path]), path).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(message),
    })
})

test('an unreadable configuration: exit 78, or a hint if no server is known', async () => {
  const by = subjectToPermissions
  const named = config('{"server_url": "http://127.0.0.1:9"}', 0o000)
  chmodSync(named, 0o000)
  expect(await cli(['tasks', 'list', '--config', named], {cwd: project, env, by})).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/config-.* cannot be read: EACCES[^]*--config/),
  })
  const folder = join(home, '.config/a2a-worker')
  mkdirSync(folder, {recursive: true})
  const user = join(folder, 'config.json')
  writeFileSync(user, '{}', {mode: 0o000})
  try {
    expect(await cli(['start'], {cwd: project, env, by})).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(
        /This user may not read the configuration file .*config\.json, and no server was given/,
      ),
    })
    expect(await cli(['tasks', 'list'], {cwd: project, env, by})).toMatchObject({
      code: 69,
      stderr: expect.stringMatching(
        /No control plane is configured[^]*config\.json exists, but this user may not read it/,
      ),
    })
    const given = {...env, A2A_SERVER_URL: plane.url, A2A_AUTH_TOKEN: 'sesame-sesame'}
    expect((await cli(['tasks', 'list'], {cwd: project, env: given, by})).code).toBe(0)
  } finally {
    rmSync(user)
  }
})

test('an unknown key is a warning that suggests the nearest known name', async () => {
  const path = config(JSON.stringify({server_url: plane.url, auth_token: 'sesame-sesame', max_concurent_tasks: 3}))
  expect(await run(['tasks', 'list', '--config', path])).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/unknown setting "max_concurent_tasks", did you mean "max_concurrent_tasks"/),
  })
})

test('a token file that others may read: exit 78, with the command that fixes it', async () => {
  const token = join(scratch.path, 'token')
  writeFileSync(token, 'sesame-sesame\n')
  chmodSync(token, 0o644)
  const path = config(JSON.stringify({server_url: plane.url, auth_token_file: token}))
  expect(await run(['tasks', 'list', '--config', path])).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/chmod 600/),
  })
  chmodSync(token, 0o600)
  expect((await run(['tasks', 'list', '--config', path])).code).toBe(0)
})

test('a port in use: exit 75; an open address without tokens: exit 78; a bad port: exit 2', async () => {
  const {port} = new URL(plane.url)
  expect(await run(['serve', '--port', port])).toMatchObject({
    code: 75,
    stderr: expect.stringMatching(/in use[^]*--port/),
  })
  expect(await run(['serve', '--port', '0', '--host', '0.0.0.0'])).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/no token would be asked for/),
  })
  expect((await run(['serve', '--port', 'http'])).code).toBe(2)
})

test('a state directory that cannot be written: exit 73', async () => {
  const {code, stderr} = await run(['start', '--server', plane.url, '--codebase', project], {
    A2A_STATE_DIR: join(project, 'README.md', 'state'),
  })
  expect(code).toBe(73)
  expect(stderr).toMatch(/Cannot write to/)
  const closed = join(scratch.path, 'closed')
  mkdirSync(closed)
  chmodSync(closed, 0o500)
  const start = ['start', '--server', plane.url, '--codebase', project]
  for (const state of [closed, join(closed, 'state')])
    expect(
      await cli(start, {cwd: project, env: {...env, A2A_STATE_DIR: state}, by: subjectToPermissions}),
    ).toMatchObject({code: 73, stderr: expect.stringMatching(/Cannot write to .*EACCES[^]*A2A_STATE_DIR/)})
})

test('a server that answers with HTML or broken JSON is reported as such: exit 69', async () => {
  let body = '<html>hello</html>'
  let type = 'text/html'
  const server = createServer((_, response) => {
    response.setHeader('content-type', type)
    response.end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  expect(await run(['tasks', 'list', '--server', url])).toMatchObject({
    code: 69,
    stderr: expect.stringMatching(/HTML page/),
  })
  body = '[{"id": 3'
  type = 'application/json'
  expect((await run(['tasks', 'list', '--server', url])).code).toBe(69)
  body = '[{"id": 3}]'
  expect(await run(['tasks', 'list', '--server', url])).toMatchObject({
    code: 69,
    stderr: expect.stringMatching(/not what a control plane sends/),
  })
  server.close()
})

test('an older Node gets a message with the required version: exit 78', async () => {
  const old = ['/usr/bin/node', '/usr/local/bin/node'].find(isOlder)
  if (old !== undefined) {
    const {status, stdout, stderr} = spawnSync(old, [program, 'tasks', 'list'], {encoding: 'utf8'})
    expect({status, stdout}).toEqual({status: 78, stdout: ''})
    expect(stderr).toMatch(
      /^a2a-worker needs Node\.js 22\.19 or newer; this is \d+\.\d+\.\d+ \(.*\)\.\n {2}→ Try: npx -p node-\S+@24 node .*\n$/,
    )
    expect(stderr).toContain(`node ${program} …`)
  }

  // A static import of another module may fail on that Node before the message.
  const text = readFileSync(program, 'utf8')
  expect(text).toMatch(/needs Node\.js 22\.19/)
  const imported = [...text.matchAll(/^import .* from '(.*)'$/gm)].map(([, name]) => name)
  expect(imported).toEqual(['node:module', 'node:fs', 'node:os', 'node:path', 'node:url'])
})

function isOlder(node: string): boolean {
  const [, major = '99', minor = '0'] =
    /^v(\d+)\.(\d+)/.exec(spawnSync(node, ['--version']).stdout?.toString() ?? '') ?? []
  return Number(major) < 22 || (Number(major) === 22 && Number(minor) < 19)
}
