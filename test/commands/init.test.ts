import {execFileSync} from 'node:child_process'
import {existsSync, mkdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {describe, expect, test} from 'vitest'
import {nearbyCodebases} from '../../src/lib/daemon/nearby-codebases.ts'
import {startPlane} from '../support/plane.ts'
import {repository, scratchFolder} from '../support/scratch.ts'
import {openTerminal} from '../support/terminal.ts'
import {openWorkshop} from '../support/workshop.ts'

const configOf = (home: string) => join(home, '.config/a2a-worker/config.json')
const read = (home: string) => JSON.parse(readFileSync(configOf(home), 'utf8')) as Record<string, unknown>

test('init asks for everything, writes it at the end, and runs a test task', async () => {
  await using shop = openWorkshop()
  const home = join(shop.path, 'home')
  const path = repository(join(home, 'api'))
  using terminal = await openTerminal({cwd: path, env: shop.env, columns: 100, rows: 40})
  terminal.run('init')
  await terminal.shows('Where do tasks come from?')
  terminal.press('Enter')
  await terminal.shows('Which codebases')
  await terminal.shows(path)
  terminal.press('Enter')
  await terminal.shows('What may agents do?')
  terminal.press('Down', 'Enter')
  await terminal.shows('Try it now')
  expect(read(home)).toEqual({permissions: 'ask', codebases: [{name: 'api', path}]})
  terminal.press('Enter')
  await terminal.shows('line 0')
  await terminal.shows('a2a-worker tasks answer')
})

test('Ctrl-C changes nothing', async () => {
  await using shop = openWorkshop()
  using terminal = await openTerminal({cwd: shop.path, env: shop.env, columns: 100})
  terminal.run('init')
  await terminal.shows('Where do tasks come from?')
  terminal.press('C-c')
  await terminal.shows('Nothing was changed.')
  expect(existsSync(configOf(join(shop.path, 'home')))).toBe(false)
})

test('an address and a token are tried before they are accepted', async () => {
  await using shop = openWorkshop()
  await using plane = await startPlane({tokens: [{name: 'me', token: 'the-right-token', scope: 'admin'}]})
  const path = repository(join(shop.path, 'api'))
  using terminal = await openTerminal({cwd: shop.path, env: shop.env, columns: 100, rows: 40})
  terminal.run('init', '--codebase', path, '--permissions', 'usual', '--no-test')
  await terminal.shows('Where do tasks come from?')
  terminal.press('Down', 'Enter')
  await terminal.shows('Its address:')
  terminal.type('http://127.0.0.1:1')
  terminal.press('Enter')
  await terminal.shows(/cannot|Cannot|refused/)
  terminal.press('C-u')
  terminal.type(plane.url)
  terminal.press('Enter')
  await terminal.shows('Token (not shown')
  terminal.type('wrong')
  terminal.press('Enter')
  await terminal.shows(/refuse|token/)
  terminal.press('C-u')
  terminal.type('the-right-token')
  terminal.press('Enter')
  await terminal.shows(/Wrote .*config\.json/)
  expect(terminal.screen()).not.toContain('the-right-token')
  expect(read(join(shop.path, 'home'))).toMatchObject({server_url: plane.url, auth_token: 'the-right-token'})
})

describe('without a terminal', () => {
  test('flags and --yes set it up, and bad ones change nothing', async () => {
    await using shop = openWorkshop()
    const home = join(shop.path, 'home')
    const path = repository(join(shop.path, 'api'))
    expect(await shop.cli(['init'])).toMatchObject({code: 2, stderr: expect.stringContaining('--yes')})
    expect((await shop.cli(['init', '--yes', '--codebase', join(shop.path, 'none')])).code).toBe(2)
    expect(await shop.cli(['init', '--yes', '--server', 'http://127.0.0.1:1', '--codebase', path])).toMatchObject({
      ...{code: 69, stderr: expect.stringContaining('http://127.0.0.1:1 cannot be used')},
    })
    expect(await shop.cli(['init', '--yes', '--opencode', '/nowhere', '--codebase', path])).toMatchObject({code: 78})
    expect(existsSync(configOf(home))).toBe(false)
    const done = await shop.cli([
      'init',
      '--yes',
      '--local',
      '--codebase',
      path,
      '--permissions',
      'allow',
      '--test',
      '--json',
    ])
    expect(done.code).toBe(0)
    expect(JSON.parse(done.stdout)).toMatchObject({
      ...{codebases: [path], permissions: 'allow', isService: false, has_token: false, tested: true},
    })
    expect(read(home)).toEqual({permissions: 'allow', codebases: [{name: 'api', path}]})
  })

  test('repositories nearby are found, nearest first, but not the home itself', () => {
    using scratch = scratchFolder()
    const home = join(scratch.path, 'home')
    const [inner, beside, usual] = ['work/api', 'work/web', 'src/tool'].map((name) => repository(join(home, name)))
    mkdirSync(join(inner!, 'deep'))
    execFileSync('git', ['init', '-q', home])
    expect(nearbyCodebases(join(inner!, 'deep'), home)).toEqual([inner, beside, usual])
    expect(nearbyCodebases(home, home)).toEqual([usual, inner, beside])
    expect(nearbyCodebases('/', join(scratch.path, 'none'))).toEqual(expect.any(Array))
  })
})
