import {once} from 'node:events'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'
import {expect, test} from 'vitest'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'

test('a refusal whose details are odd is a refusal all the same', async () => {
  const detail = [{loc: ['body', 'title', 0, {toString: 1}, null], msg: 'too long'}]
  const server = createServer((_, response) => {
    response.writeHead(422, {'content-type': 'application/json'}).end(JSON.stringify({detail}))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  await using client = new ControlPlaneClient({baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`})
  await expect(client.task('t')).rejects.toMatchObject({status: 422, detail: 'title.0: too long'})
  server.close()
})
