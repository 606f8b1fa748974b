import {once} from 'node:events'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'
import {expect, test} from 'vitest'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'

/** Sends this answer to every request. */
async function answering(status: number, body: string, type: string) {
  const server = createServer((_, response) => {
    response.writeHead(status, {'content-type': type}).end(body)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = new ControlPlaneClient({baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`})
  return {
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]()
      server.close()
    },
  }
}

test('a refusal with malformed details still counts as a refusal', async () => {
  const detail = [{loc: ['body', 'title', 0, {toString: 1}, null], msg: 'too long'}]
  await using at = await answering(422, JSON.stringify({detail}), 'application/json')
  await expect(at.client.task('t')).rejects.toMatchObject({status: 422, detail: 'title.0: too long'})
})

test('a refusal body of several megabytes of tag-like text is parsed quickly', async () => {
  await using at = await answering(503, '<'.repeat(1_000_000), 'text/plain')
  const begun = performance.now()
  await expect(at.client.task('t')).rejects.toMatchObject({status: 503})
  expect(performance.now() - begun).toBeLessThan(1000)
})

test.each([
  ['text/plain', 'Forbidden', 'HTTP 403 with text/plain'],
  ['application/json', '{"error":"forbidden"}', 'HTTP 403 with other JSON'],
  ['text/html', '<html>', 'HTTP 403 with an HTML page'],
])('a 403 of another program (%s) asks for the right address, not for a token', async (type, body, what) => {
  await using at = await answering(403, body, type)
  const error = await at.client.task('t').catch((refusal: unknown) => refusal)
  expect(error).toMatchObject({
    code: 'NOT_A_CONTROL_PLANE',
    exitCode: 69,
    message: expect.stringContaining(`answered ${what}, which no control plane does: another program may use its port`),
    suggestions: [expect.stringMatching(/address right/)],
  })
})

test("a control plane's own 403 asks for the right token", async () => {
  await using at = await answering(403, '{"detail":"Invalid token"}', 'application/json')
  await expect(at.client.task('t')).rejects.toMatchObject({
    exitCode: 77,
    suggestions: [expect.stringContaining('A2A_AUTH_TOKEN')],
  })
})
