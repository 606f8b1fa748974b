import {writeFileSync} from 'node:fs'
import {request} from 'node:http'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {sessionMs} from '../../../src/lib/server/rules/registry/browser-sessions.ts'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {oneBrowser, logIn} from '../../support/browser.ts'
import {startRedis, type RedisServer} from '../../support/redis.ts'
import {sharedState} from '../../support/shared-state.ts'
import {Api} from '../support/api.ts'
import {scratch, startPlane, until} from '../support/plane.ts'

const open = oneBrowser()
const admin = 'an-admins-token-12'
const client = 'a-clients-token-12'
const worker = 'a-workers-token-12'
const tokens = parseTokens(`anna:${admin},ci/client:${client},box/worker=w1:${worker}`)

let redis: RedisServer
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

const html = {accept: 'text/html'}
/** Logs in without a browser. Resolves with the cookie. */
async function cookieOf(url: string, token = admin): Promise<string> {
  const body = new URLSearchParams({token})
  const headers = {...html, origin: url, 'content-type': 'application/x-www-form-urlencoded'}
  const answer = await fetch(`${url}/ui/login`, {method: 'POST', headers, body, redirect: 'manual'})
  expect(answer.status).toBe(303)
  return answer.headers.get('set-cookie') ?? ''
}
const shown = (url: string, cookie: string, path = '/') =>
  fetch(url + path, {headers: {...html, cookie: cookie.split(';')[0] ?? ''}, redirect: 'manual'})

test('a browser logs in with a token and out again, and a wrong token is refused, counted and in the audit', async () => {
  await using plane = await startPlane({tokens, timings: {refusalLogMs: 50}})
  await using tab = await open()
  const {page, problems} = tab
  await page.goto(`${plane.url}/ui/tasks?status=running`)
  expect(page.url()).toBe(`${plane.url}/ui/login?next=ui%2Ftasks%3Fstatus%3Drunning`)
  await page.getByLabel('Token').fill('a-wrong-token-1234')
  await page.getByRole('button', {name: 'Log in'}).click()
  await page.getByRole('alert').getByText('Invalid token').waitFor()
  expect(problems.splice(0)).toEqual([expect.stringContaining('403')]) // the browser logs the status of the answer
  await until(() => plane.log.some((line) => line.includes('wrong token')))
  await page.getByLabel('Token').fill(admin)
  await page.getByRole('button', {name: 'Log in'}).click()
  await page.waitForURL(`${plane.url}/ui/tasks?status=running`)
  const [cookie] = await page.context().cookies()
  expect(cookie).toMatchObject({name: `a2a-page-${plane.port}`, httpOnly: true, sameSite: 'Strict', path: '/'})
  expect(cookie?.value).not.toContain(admin)
  await page.getByRole('button', {name: 'Log out'}).click()
  await page.waitForURL(/\/ui\/login$/)
  expect(await page.context().cookies()).toEqual([])
  const former = await shown(plane.url, `${cookie?.name}=${cookie?.value}`)
  expect(former.headers.get('location')).toBe('./ui/login')
  const {body} = await new Api(plane.url, admin).get('audit')
  const said = body.entries.map(({what, who, detail}: Record<string, string>) => `${what} ${who} ${detail}`)
  expect(said).toContain('page.logout anna null')
  expect(said).toContainEqual(expect.stringMatching(/^page\.login anna until /))
  expect(said).toContainEqual(expect.stringMatching(/^request\.refused null 403 POST \/ui\/login: Invalid token/))
  expect(problems).toEqual([])
})

test('many wrong tokens at the form are slowed down, and the right one is not', async () => {
  await using plane = await startPlane({tokens})
  const wrong = async () => {
    const headers = {...html, origin: plane.url, 'content-type': 'application/x-www-form-urlencoded'}
    const answer = await fetch(`${plane.url}/ui/login`, {method: 'POST', headers, body: 'token=none-of-ours'})
    return answer.status
  }
  const answers: number[] = []
  for (let n = 0; n < 12; n++) answers.push(await wrong())
  expect(answers).toEqual([...Array.from({length: 10}, () => 403), 429, 429])
  await cookieOf(plane.url)
})

test('a login ends after twelve hours, with its token, and not with the control plane', async () => {
  await using folder = await scratch()
  const tokensFile = folder.file('tokens')
  const write = (text: string) => writeFileSync(tokensFile, text, {mode: 0o600})
  write(`anna:${admin}\nci/client:${client}\n`)
  let now = 0
  const clock = {...systemClock, now: () => Date.now() + now}
  const options = {tokensFile, clock, database: folder.file('plane.db'), port: 0}
  let plane = await startPlane(options)
  const {port} = plane
  const cookie = await cookieOf(plane.url)
  const other = await cookieOf(plane.url, client)
  expect((await shown(plane.url, cookie)).status).toBe(200)
  await plane.close()
  plane = await startPlane({...options, port})
  try {
    expect((await shown(plane.url, cookie)).status).toBe(200)
    write(`ci/client:${client}\n`)
    plane.reload()
    expect((await shown(plane.url, cookie)).status).toBe(303)
    expect((await shown(plane.url, other)).status).toBe(200)
    now = sessionMs + 1000
    expect((await shown(plane.url, other)).status).toBe(303)
  } finally {
    await plane.close()
  }
})

test('an open page is told when its login has ended', async () => {
  await using plane = await startPlane({tokens})
  await using tab = await open()
  const {page, problems} = tab
  await logIn(page, plane.url, admin)
  await page.waitForURL(`${plane.url}/`)
  await page.locator('body[data-connection=live]').waitFor()
  const [cookie] = await page.context().cookies()
  const headers = {...html, origin: plane.url, cookie: `${cookie?.name}=${cookie?.value}`}
  await fetch(`${plane.url}/ui/logout`, {method: 'POST', headers, redirect: 'manual'})
  await page.getByRole('status').getByText('You are logged out.').waitFor()
  await page.getByRole('link', {name: 'Log in'}).click()
  await page.waitForURL(/\/ui\/login$/)
  expect(problems).toEqual([])
})

test('a link of the API logs in once and within a minute, on any replica', async () => {
  const prefix = '{page-link}:'
  await using a = await startPlane({tokens, ...sharedState(redis.url, prefix)})
  await using b = await startPlane({tokens, ...sharedState(redis.url, prefix)})
  await using tab = await open()
  const {page, problems} = tab
  const link = async (token = client) => (await new Api(a.url, token).post('pageLink', {})).body
  const {path, expires_in} = await link()
  expect(expires_in).toBe(60)
  await page.goto(b.url + path)
  await page.waitForURL(`${b.url}/`)
  await page.getByText('ci client').waitFor()
  const again = await fetch(a.url + path, {headers: html})
  expect(again.status).toBe(403)
  expect(await again.text()).toContain('was used before')
  const preview = await link()
  for (const method of ['HEAD', 'GET', 'GET']) {
    const answer = await fetch(a.url + preview.path, {method, headers: {...html, 'sec-fetch-site': 'none'}})
    expect(answer.status).toBe(200)
    expect(answer.headers.get('set-cookie')).toBeNull()
  }
  expect((await fetch(`${a.url}/v1/page/link`, {method: 'POST'})).status).toBe(401)
  expect(problems).toEqual([])
})

test('a link that another site leads to, or that is of somebody else, asks before it logs in', async () => {
  await using plane = await startPlane({tokens})
  await using foreign = await startPlane()
  await using tab = await open()
  const {page, problems} = tab
  const link = async (token: string) => plane.url + (await new Api(plane.url, token).post('pageLink', {})).body.path
  const sites: (string | undefined)[] = []
  page.on('request', (request) => {
    if (request.url().includes('/ui/enter?'))
      void request.allHeaders().then((headers) => sites.push(headers['sec-fetch-site']))
  })
  const other = foreign.url.replace('127.0.0.1', 'localhost') // another site
  await page.goto(other)
  await page.evaluate(`location.assign(${JSON.stringify(await link(client))})`)
  await page.getByRole('heading', {name: 'Log in as ci client?'}).waitFor()
  await until(() => sites.at(-1) === 'cross-site')
  expect(await page.context().cookies()).toEqual([])
  expect((await shown(plane.url, '')).headers.get('location')).toBe('./ui/login')
  await page.getByRole('button', {name: 'Log in'}).click()
  await page.waitForURL(`${plane.url}/`)
  await page.getByText('ci client').waitFor()

  await page.goto(await link(admin))
  await page.getByRole('heading', {name: 'Log in as anna admin?'}).waitFor()
  await until(() => sites.at(-1) === 'none')
  await page.getByText('You are logged in as ci. If you did not ask').waitFor()
  const [before] = await page.context().cookies()
  await page.getByRole('button', {name: 'Log in'}).click()
  await page.getByText('anna admin').waitFor()
  expect((await shown(plane.url, `${before?.name}=${before?.value}`)).status).toBe(303)
  await page.goto(await link(admin))
  await page.waitForURL(`${plane.url}/`) // the same person: in one step
  expect(problems).toEqual([])
})

test('a link that is older than a minute is refused', async () => {
  let later = 0
  await using plane = await startPlane({tokens, clock: {...systemClock, now: () => Date.now() + later}})
  const {path} = (await new Api(plane.url, admin).post('pageLink', {})).body
  later = 61_000
  expect((await fetch(plane.url + path, {headers: html})).status).toBe(403)
})

test('a login at one replica holds at the other, and so does a logout', async () => {
  const prefix = '{page-login}:'
  await using a = await startPlane({tokens, ...sharedState(redis.url, prefix)})
  await using b = await startPlane({tokens, ...sharedState(redis.url, prefix)})
  const cookie = (await cookieOf(a.url)).split(';')[0] ?? ''
  const atB = cookie.replace(`-${a.port}=`, `-${b.port}=`) // a load balancer has one port for both
  expect((await shown(b.url, atB)).status).toBe(200)
  const headers = {...html, origin: b.url, cookie: atB}
  await fetch(`${b.url}/ui/logout`, {method: 'POST', headers, redirect: 'manual'})
  expect((await shown(a.url, cookie)).status).toBe(303)
})

test('a page of another site can neither change nor read anything, whatever cookie the browser has', async () => {
  await using plane = await startPlane({tokens})
  await using foreign = await startPlane()
  const api = new Api(plane.url, admin)
  await api.registerOwn('w1')
  const codebase = await api.codebase('w1', '/srv/app')
  const {id} = await api.create(codebase)
  await using tab = await open()
  const {page} = tab
  await logIn(page, plane.url, admin)
  await page.waitForURL(`${plane.url}/`)
  // another port of the same host: the browser sends the cookie there, because ports are no sites
  await page.goto(foreign.url)
  const answer = await page
    .evaluate(async (target) => {
      const init = {method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams()} as const
      return (await fetch(target, init)).type
    }, `${plane.url}/ui/tasks/${id}/cancel`)
    .catch(String)
  expect(answer).toMatch(/opaque|Content Security Policy|Failed to fetch/)
  const [cookie] = await page.context().cookies(plane.url)
  const post = (headers: Record<string, string>) =>
    fetch(`${plane.url}/ui/tasks/${id}/cancel`, {
      method: 'POST',
      headers: {...html, cookie: `${cookie?.name}=${cookie?.value}`, ...headers},
      redirect: 'manual',
    })
  for (const headers of [{origin: foreign.url}, {origin: 'null'}, {'sec-fetch-site': 'same-site'}, {}] as Record<
    string,
    string
  >[])
    expect((await post(headers)).status, JSON.stringify(headers)).toBe(403)
  expect((await api.task(id)).status).toBe('pending')
  expect((await post({origin: plane.url})).status).toBe(303)
  expect((await api.task(id)).status).toBe('cancelled')
})

test('without tokens the page needs no login, and no page of another site and no foreign name reaches it', async () => {
  await using plane = await startPlane()
  await using tab = await open()
  const {page, problems} = tab
  await page.goto(plane.url)
  await page.getByText('No worker is registered.').waitFor()
  expect(await page.getByRole('button', {name: 'Log out'}).count()).toBe(0)
  const ask = (headers: Record<string, string>) => fetch(`${plane.url}/ui/tasks`, {headers: {...html, ...headers}})
  expect((await ask({origin: 'https://evil.example'})).status).toBe(403)
  expect((await ask({'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors'})).status).toBe(403)
  expect((await new Api(plane.url).post('pageLink', {})).body).toEqual({success: true, path: '/', expires_in: null})
  expect(problems).toEqual([])
})

test('a token for metrics cannot log in, and the form says so', async () => {
  const token = 'a-metrics-token-12'
  await using plane = await startPlane({tokens: parseTokens(`prom/metrics:${token}`)})
  const headers = {...html, origin: plane.url, 'content-type': 'application/x-www-form-urlencoded'}
  const answer = await fetch(`${plane.url}/ui/login`, {method: 'POST', headers, body: `token=${token}`})
  expect(answer.status).toBe(403)
  expect(answer.headers.get('set-cookie')).toBeNull()
  expect(await answer.text()).toContain('The token &quot;prom&quot; cannot log in: it is for metrics')
  expect((await new Api(plane.url, token).post('pageLink', {})).status).toBe(403)
})

test('a page shows and does what its token may, and nothing else', async () => {
  await using plane = await startPlane({tokens})
  const api = new Api(plane.url, admin)
  for (const id of ['w1', 'w2']) await api.registerOwn(id)
  const [own, foreign] = [await api.codebase('w1', '/srv/own'), await api.codebase('w2', '/srv/foreign')]
  await api.create(own, {title: 'an own task'})
  const other = await api.create(foreign, {title: 'a foreign task'})
  await using tab = await open()
  const {page, problems} = tab
  await logIn(page, plane.url, worker)
  await page.waitForURL(`${plane.url}/`)
  await page.getByRole('link', {name: 'an own task'}).waitFor()
  expect(await page.content()).not.toMatch(/foreign|New task|w2/)
  await page.getByRole('navigation', {name: 'Pages'}).getByRole('link', {name: 'Tasks'}).click()
  await page.getByRole('link', {name: 'an own task'}).click()
  await page.getByRole('heading', {name: 'an own task'}).waitFor()
  expect(await page.getByRole('button', {name: /Cancel|Retry|Send/}).count()).toBe(0)
  expect(problems).toEqual([])

  const cookie = (await cookieOf(plane.url, worker)).split(';')[0] ?? ''
  const status = async (path: string, body?: Record<string, string>) => {
    const headers = {...html, origin: plane.url, cookie, 'content-type': 'application/x-www-form-urlencoded'}
    const posted = body && {method: 'POST', body: new URLSearchParams(body)}
    const answer = await fetch(plane.url + path, {...posted, headers, redirect: 'manual'})
    expect(answer.headers.get('content-type')).toContain('text/html')
    return answer.status
  }
  expect(await status(`/ui/tasks/${other.id}`)).toBe(404)
  expect(await status(`/ui/tasks/${other.id}/output`)).toBe(404)
  expect(await status(`/ui/codebases/${foreign}`)).toBe(403)
  expect(await status('/ui/new')).toBe(403)
  expect(await status('/ui/new', {codebase: own, prompt: 'p'})).toBe(403)
  expect(await status(`/ui/tasks/${other.id}/cancel`, {})).toBe(403)
  expect(await status('/ui/codebases', {path: '/srv/more'})).toBe(403)
  expect((await api.task(other.id)).status).toBe('pending')
})

test('under HTTPS the cookie is bound to the host and is sent with HTTPS only', async () => {
  await using plane = await startPlane({tokens})
  const headers = {...html, origin: 'https://plane.example', host: 'plane.example', 'x-forwarded-proto': 'https'}
  const cookie = await new Promise<string>((resolve, reject) => {
    const type = {'content-type': 'application/x-www-form-urlencoded'}
    const sent = request(`${plane.url}/ui/login`, {method: 'POST', headers: {...headers, ...type}}, (response) => {
      response.resume()
      resolve(String(response.headers['set-cookie']))
    })
    sent.on('error', reject)
    sent.end(`token=${admin}`)
  })
  expect(cookie).toMatch(/^__Host-a2a-page=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure$/)
})

test('the limits of requests and of open streams hold for the page, by its token', async () => {
  await using plane = await startPlane({tokens, maxStreams: 1, maxRequests: 1})
  const cookie = (await cookieOf(plane.url)).split(';')[0] ?? ''
  const stop = new AbortController()
  const live = () => fetch(`${plane.url}/ui`, {headers: {accept: 'text/event-stream', cookie}, signal: stop.signal})
  const first = await live()
  expect(first.status).toBe(200)
  expect((await live()).status).toBe(429)
  const answers = await Promise.all(Array.from({length: 12}, () => shown(plane.url, cookie, '/ui/tasks')))
  expect(answers.map(({status}) => status)).toContain(429)
  // the same client by its token: what the page has used is used
  expect((await new Api(plane.url, admin).get('tasks')).status).toBe(429)
  stop.abort()
})
