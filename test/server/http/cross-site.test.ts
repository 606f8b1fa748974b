import {request} from 'node:http'
import {hostname} from 'node:os'
import {expect, test} from 'vitest'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {createCrossSiteGuard} from '../../../src/lib/server/http/cross-site.ts'
import {startFleet} from '../../support/fleet.ts'
import {startPlane} from '../support/plane.ts'

/** A request with the headers of a browser. `fetch` would not send these headers. */
const ask = (url: string, method: string, headers: Record<string, string>, body = '') =>
  new Promise<{status: number; text: string}>((resolve, reject) => {
    const sent = request(url, {method, headers}, (response) => {
      let text = ''
      response.on('data', (data: Buffer) => (text += data.toString()))
      response.on('end', () => resolve({status: response.statusCode ?? 0, text}))
    })
    sent.on('error', reject)
    sent.end(body)
  })

const codebase = JSON.stringify({name: 'x', path: '/x'})

test('a page of another site cannot use a control plane without tokens', async () => {
  await using plane = await startPlane()
  const codebases = `${plane.url}/v1/opencode/codebases`
  const foreign = {origin: 'https://evil.example', 'content-type': 'text/plain'}
  const refused = await ask(codebases, 'POST', foreign, codebase)
  expect(refused.status).toBe(403)
  expect(refused.text).toContain('A page of https://evil.example may not use this control plane: set A2A_AUTH_TOKENS')
  for (const headers of [{origin: 'null'}, {origin: `${plane.url}0`}, {'sec-fetch-site': 'cross-site'}])
    expect(await ask(codebases, 'GET', headers)).toMatchObject({status: 403})
  expect((await ask(codebases, 'GET', {})).text).toBe('[]')
})

test('a host name that an attacker points at this machine is refused', async () => {
  await using plane = await startPlane()
  const {port} = new URL(plane.url)
  const at = (name: string) => ask(`${plane.url}/v1/opencode/tasks`, 'GET', {host: `${name}:${port}`})
  expect(await at('evil.example')).toMatchObject({
    status: 403,
    text: expect.stringContaining('not to be reached as evil.example'),
  })
  await using proxied = await startPlane({auth: 'off'})
  expect(await ask(`${proxied.url}/v1/opencode/tasks`, 'GET', {host: 'plane.example'})).toMatchObject({status: 200})
  for (const name of ['localhost', 'LOCALHOST', 'app.localhost', '127.0.0.1', '[::1]', hostname()])
    expect(await at(name)).toMatchObject({status: 200})
})

test("the control plane's own pages, links to it, health checks, and requests with a token are allowed", async () => {
  await using open = await startPlane()
  const foreign = {origin: 'https://ui.example'}
  for (const headers of [{origin: open.url}, {'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate'}])
    expect(await ask(`${open.url}/openapi.json`, 'GET', headers)).toMatchObject({status: 200})
  expect(await ask(`${open.url}/health`, 'GET', foreign)).toMatchObject({status: 200})
  await using closed = await startPlane({tokens: parseTokens('ui:secret')})
  const shown = {...foreign, authorization: 'Bearer secret'}
  expect(await ask(`${closed.url}/v1/opencode/tasks`, 'GET', shown)).toMatchObject({status: 200})
})

test('a control plane that other machines can reach accepts any host name', () => {
  const gate = createCrossSiteGuard('0.0.0.0')
  const headers = (given: Record<string, string>) => () => gate((name) => given[name])
  expect(headers({host: 'plane.example:8000'})).not.toThrow()
  expect(headers({host: 'plane.example:8000', origin: 'http://plane.example:8000'})).not.toThrow()
  expect(headers({host: 'plane.example:8000', origin: 'http://other.example:8000'})).toThrow('other.example')
})

test('only a control plane without tokens warns at the start', async () => {
  await using open = await startFleet({isPlaneProcess: true})
  expect(open.plane().stderr()).toMatch(/WARN +No token is required\. .* Set A2A_AUTH_TOKENS/)
  await using closed = await startFleet({isPlaneProcess: true, env: {A2A_AUTH_TOKENS: 'me:a-long-enough-secret'}})
  expect(closed.plane().stderr()).not.toMatch(/WARN|No token is required/)
})
