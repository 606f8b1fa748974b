import {chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startPlane} from '../support/plane.ts'
import {repository} from '../support/scratch.ts'
import {openWorkshop, says} from '../support/workshop.ts'

const token = 'a-clients-token-12'
const tokens = [{name: 'ci', scope: 'client' as const, token}]

/** Follows a link like a browser. Resolves with the first page, which is that of the token. */
async function enter(url: string): Promise<string> {
  const asked = await fetch(url, {headers: {accept: 'text/html', 'sec-fetch-site': 'none'}})
  expect(await asked.text()).toContain('data-sure="yes"') // so the script of the page goes on
  const {origin, searchParams} = new URL(url)
  const posted = {method: 'POST', headers: {accept: 'text/html', origin}, redirect: 'manual'} as const
  const entered = await fetch(`${origin}/ui/enter`, {...posted, body: searchParams})
  expect(entered.status).toBe(303)
  const cookie = entered.headers.get('set-cookie')?.split(';')[0] ?? ''
  return (await fetch(new URL('/', url), {headers: {accept: 'text/html', cookie}})).text()
}

test('open prints a link that logs a browser in, and opens it where there is a screen', async () => {
  await using plane = await startPlane({tokens})
  await using shop = openWorkshop({A2A_AUTH_TOKEN: token, A2A_SERVER_URL: plane.url})
  const printed = await shop.cli(['open', '--no-browser'])
  expect(printed).toMatchObject({code: 0, stderr: 'It works once, and for 60 seconds.\n'})
  expect(await enter(printed.stdout.trim())).toContain('ci</bdi> <small>client</small>')
  const without = await shop.cli(['open'])
  expect(without).toMatchObject({code: 0, stdout: expect.stringMatching(/^http:.*\/ui\/enter\?code=[\w-]{43}\n$/)})
  expect(without.stderr).toContain('There is no browser on this machine.')

  const bin = join(shop.path, 'bin')
  const shown = join(shop.path, 'shown')
  mkdirSync(bin)
  writeFileSync(join(bin, 'xdg-open'), `#!/bin/sh\nprintf %s "$1" > ${shown}\n`)
  chmodSync(join(bin, 'xdg-open'), 0o755)
  const env = {...shop.env, DISPLAY: ':0', PATH: `${bin}:${shop.env['PATH']}`}
  const opened = await shop.cli(['open'], {env})
  expect(opened).toMatchObject({code: 0, stdout: `The browser shows the monitor page of ${plane.url}.\n`})
  expect(await enter(readFileSync(shown, 'utf8'))).toContain('ci</bdi> <small>client</small>')
  writeFileSync(join(bin, 'xdg-open'), '#!/bin/sh\nexit 3\n')
  expect((await shop.cli(['open'], {env})).stdout).toMatch(/^http:/)
  const json = JSON.parse((await shop.cli(['open', '--json'], {env})).stdout)
  expect(json).toEqual({url: expect.stringContaining('/ui/enter?code='), opened: false, expires_in: 60})
  expect(existsSync(shown)).toBe(true)
})

test('open with a wrong token, without a server, and at a server without a page says what is wrong', async () => {
  await using plane = await startPlane({tokens})
  await using shop = openWorkshop()
  const wrong = await shop.cli(['open', '--server', plane.url], {env: {...shop.env, A2A_AUTH_TOKEN: 'none-of-ours'}})
  expect(wrong).toMatchObject({
    code: 77,
    stderr: expect.stringContaining('Cannot open the monitor page: Invalid token'),
  })
  expect(await shop.cli(['open'])).toMatchObject({code: 69, stderr: expect.stringContaining('a2a-worker start')})
})

test('the control plane of a machine has a page that only its user can open, and start says how', async () => {
  await using shop = openWorkshop()
  const tree = repository(join(shop.path, 'p'))
  const worker = shop.start(['start'], {cwd: tree})
  await says(worker, /Monitor page: http:\/\/127\.0\.0\.1:\d+\/ \(open it, logged in, with: a2a-worker open\)/)
  await says(worker, 'Task stream connected')
  const {stdout} = await shop.cli(['open', '--print'])
  const url = stdout.trim()
  const stranger = await fetch(new URL('/', url), {headers: {accept: 'text/html'}, redirect: 'manual'})
  expect(stranger.headers.get('location')).toBe('./ui/login')
  expect(await enter(url)).toContain('local</bdi> <small>admin</small>')
})
