import {mkdirSync, readFileSync, statSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {openTerminal} from '../support/terminal.ts'
import {openWorkshop} from '../support/workshop.ts'

const file = (shop: {path: string}) => join(shop.path, 'home/.config/a2a-worker/config.json')

function write(shop: {path: string}, content: unknown, mode = 0o600): string {
  mkdirSync(dirname(file(shop)), {recursive: true})
  writeFileSync(file(shop), JSON.stringify(content), {mode})
  return file(shop)
}

test('set writes a checked value to a private file, says when nothing changes, and removes it with --unset', async () => {
  await using shop = openWorkshop()
  expect(await shop.cli(['config', 'set', 'poll_interval', '9'])).toMatchObject({code: 0})
  expect(await shop.cli(['config', 'set', 'allowed_agents', 'build, plan'])).toMatchObject({code: 0})
  expect(JSON.parse(readFileSync(file(shop), 'utf8'))).toEqual({poll_interval: 9, allowed_agents: ['build', 'plan']})
  expect(statSync(file(shop)).mode & 0o777).toBe(0o600)
  expect((await shop.cli(['config', 'set', 'poll_interval', '9'])).stdout).toMatch(/is unchanged/)
  expect(await shop.cli(['config', 'set', 'poll_interval', '--unset'])).toMatchObject({code: 0})
  expect(JSON.parse(readFileSync(file(shop), 'utf8'))).toEqual({allowed_agents: ['build', 'plan']})
})

test('set refuses unknown keys and invalid values, and leaves the file unchanged: exit 2', async () => {
  await using shop = openWorkshop()
  const cases: [string[], RegExp][] = [
    [['max_concurent_tasks', '3'], /Did you mean max_concurrent_tasks/],
    [['poll_interval', '0'], /poll_interval must be from 1 to 3600, not 0/],
    [['server_url', 'ftp://x'], /must be an address like https/],
    [['redis_url', 'http://x'], /must be an address like redis/],
    [['redact', '('], /redact/],
    [['codebases', '/srv/x'], /a2a-worker register/],
    [['poll_interval'], /Give a value, or --unset/],
    [['poll_interval', '3', '--unset'], /Give a value, or --unset/],
  ]
  for (const [args, message] of cases)
    expect(await shop.cli(['config', 'set', ...args]), args.join(' ')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(message),
    })
  expect(() => statSync(file(shop))).toThrow('ENOENT')
})

test('show prints the source of each value and masks secrets, as text and as JSON', async () => {
  await using shop = openWorkshop({A2A_POLL_INTERVAL: '7', A2A_AUTH_TOKEN: 'sesame-sesame'})
  write(shop, {max_concurrent_tasks: 4, redis_url: 'redis://user:hidden@broker:6379'})
  const shown = await shop.cli(['config', 'show'])
  expect(shown.stdout).toMatch(/poll_interval +7 +A2A_POLL_INTERVAL\n/)
  expect(shown.stdout).toMatch(/max_concurrent_tasks +4 +\/.*config\.json\n/)
  expect(shown.stdout).toMatch(/idle_timeout +900 +default\n/)
  const json = await shop.cli(['config', 'show', '--json'])
  expect(JSON.parse(json.stdout)).toContainEqual({key: 'auth_token', value: '********', source: 'A2A_AUTH_TOKEN'})
  expect(json.stdout).toContain('redis://user:********@broker:6379')
  expect(shown.stdout + json.stdout).not.toMatch(/sesame|hidden/)
})

test('validate reports all problems at once: exit 78; a valid file passes', async () => {
  await using shop = openWorkshop()
  const path = write(shop, {poll_interval: 0, log_level: 'loud', pol_interval: 3})
  expect(await shop.cli(['config', 'validate'])).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/poll_interval[^]*log_level/),
  })
  const other = join(shop.path, 'other.json')
  writeFileSync(other, JSON.stringify({server_url: 'https://plane', pol_interval: 3}))
  const good = await shop.cli(['config', 'validate', other])
  expect(good).toMatchObject({code: 0, stdout: `${other}: valid, with 1 warning.\n`})
  expect(good.stderr).toMatch(/did you mean "poll_interval"/)
  expect((await shop.cli(['config', 'path'])).code).toBe(78)
  writeFileSync(path, '{}')
  expect((await shop.cli(['config', 'path'])).stdout).toContain(`read     ${path}\n`)
})

test('a configuration that every user may read must not contain a secret: exit 78, with the command that fixes it', async () => {
  await using shop = openWorkshop()
  const path = write(shop, {auth_token: 'sesame-sesame'}, 0o644)
  const {code, stderr} = await shop.cli(['tasks', 'list'])
  expect(code).toBe(78)
  expect(stderr).toContain(`auth_token (${path})`)
  expect(stderr).toContain(`chmod 600 ${path}`)
  expect(stderr).not.toContain('sesame')
  write(shop, {redis_url: 'redis://broker:6379'}, 0o644)
  expect((await shop.cli(['config', 'validate'])).code).toBe(0)
})

test('the schema describes each setting, and an example file fits it', async () => {
  await using shop = openWorkshop()
  const schema = JSON.parse((await shop.cli(['config', 'schema'])).stdout)
  const settings = JSON.parse((await shop.cli(['config', 'show', '--json'])).stdout) as {key: string}[]
  expect(Object.keys(schema.properties)).toEqual(settings.map(({key}) => key))
  const types = ['string', 'array', 'integer', 'number', 'boolean', 'object']
  for (const property of Object.values(schema.properties) as {description: string; type: string | string[]}[]) {
    expect(property).toMatchObject({description: expect.stringMatching(/environment: A2A_/)})
    expect(types).toEqual(expect.arrayContaining([property.type].flat()))
  }
})

test('show fits a terminal of 80 columns, and shows long values complete', async () => {
  await using shop = openWorkshop()
  const codebases = ['api', 'web', 'shop'].map((name) => ({name, path: `/srv/projects/of/this/team/${name}`}))
  write(shop, {codebases, server_url: 'https://plane.example', poll_interval: 7})
  const env = {...shop.env, A2A_SESSION_MESSAGE_SYNC_MAX_MESSAGES: '50'}
  using terminal = await openTerminal({cwd: shop.path, env, columns: 80, rows: 120})
  terminal.run('config', 'show')
  await terminal.shows('active_session_sync_interval')
  const lines = terminal.screen().split('\n')
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
  const text = lines.map((line) => line.trim()).join('')
  for (const {path} of codebases) expect(text).toContain(path)
  expect(text).toContain('A2A_SESSION_MESSAGE_SYNC_MAX_MESSAGES')
  expect(lines).toContainEqual(expect.stringMatching(/^max_attempts +3 +default$/))
})

test('a secret is read from stdin and shown nowhere; on the command line it is warned of', async () => {
  await using shop = openWorkshop()
  const piped = await shop.cli(['config', 'set', 'auth_token'], {input: 'sesame-sesame\n'})
  expect(piped).toMatchObject({code: 0, stdout: expect.not.stringContaining('sesame'), stderr: ''})
  expect(JSON.parse(readFileSync(file(shop), 'utf8'))).toEqual({auth_token: 'sesame-sesame'})
  expect((await shop.cli(['config', 'set', 'auth_token'], {input: ' \n'})).stderr).toContain(
    'There is no value for auth_token.',
  )
  const visible = await shop.cli(['config', 'set', 'auth_token', 'open-sesame'])
  expect(visible).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^Other users of this machine could see auth_token on the command line/),
  })
  expect(await shop.cli(['config', 'set', 'poll_interval'])).toMatchObject({code: 2})
})

test('on a terminal a secret is asked for, and not shown', async () => {
  await using shop = openWorkshop()
  using terminal = await openTerminal({cwd: shop.path, env: shop.env})
  terminal.run('config', 'set', 'auth_token')
  await terminal.shows('auth_token (not shown):')
  terminal.type('hidden-sesame')
  terminal.press('Enter')
  await terminal.shows('Wrote auth_token to')
  expect(terminal.screen()).not.toContain('hidden-sesame')
  expect(JSON.parse(readFileSync(file(shop), 'utf8'))).toEqual({auth_token: 'hidden-sesame'})
})
