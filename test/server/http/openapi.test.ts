import {expect, test} from 'vitest'
import {routes} from '../../../src/lib/protocol/routes.ts'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Api} from '../support/api.ts'
import {startPlane} from '../support/plane.ts'

const verbs = ['get', 'post', 'put', 'delete']
const templated = (route: string) => route.replaceAll(/:([a-z]+)/g, '{$1}')
const filled = (path: string) => path.replaceAll(/[:{]([a-z]+)\}?/g, 'w')

// the tests check the shape of the document
// oxlint-disable-next-line typescript/no-explicit-any
type Document = any

async function documented() {
  const plane = await startPlane({version: '1.2.3'})
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const {body}: {body: Document} = await api.get('openapi')
  return {plane, api, document: body, [Symbol.asyncDispose]: () => plane.close()}
}

test('every route is in the document, with all its methods', async () => {
  await using one = await documented()
  const {api, document} = one
  expect(document).toMatchObject({openapi: '3.1.0', info: {version: '1.2.3'}})
  expect(Object.keys(document.paths).sort()).toEqual(Object.values(routes).map(templated).sort())
  const items = Object.entries<object>(document.paths)
  for (const [path] of items) {
    const answer = await api.send('PATCH', filled(path))
    expect(answer.status, path).toBe(405)
    const allowed = (answer.headers.get('allow') ?? '').toLowerCase().split(', ').sort()
    // /workers/register also matches a worker with the id `register`
    const same = items.filter(([other]) => new RegExp(`^${other.replaceAll(/{[a-z]+}/g, '[^/]+')}$`).test(filled(path)))
    const documented = same.flatMap(([, item]) => Object.keys(item).filter((key) => verbs.includes(key)))
    expect([...new Set(documented)].sort(), path).toEqual(allowed)
  }
})

test('the fields that the document requires in a body are the fields that the control plane requires', async () => {
  await using one = await documented()
  const {api, document} = one
  let looked = 0
  for (const [path, item] of Object.entries<Document>(document.paths))
    for (const verb of verbs) {
      const required = item[verb]?.requestBody?.content?.['application/json']?.schema?.required
      if (!required?.length) continue
      const {status, body} = await api.send(verb.toUpperCase(), `${filled(path)}?worker_id=w`, {})
      expect(status, path).toBe(422)
      expect(
        body.detail.map(({loc}: {loc: string[]}) => loc[1]),
        path,
      ).toEqual(required)
      looked += 1
    }

  expect(looked).toBeGreaterThan(10)
})

test('every reference in the document resolves, and every operation has a unique name', async () => {
  await using one = await documented()
  const text = JSON.stringify(one.document)
  const references = new Set(text.match(/"\$ref":"[^"]+"/g)?.map((reference) => reference.slice(8, -1)))
  expect(references.size).toBeGreaterThan(5)
  for (const reference of references) {
    const [root, ...steps] = reference.split('/')
    expect(root).toBe('#')
    expect(
      steps.reduce((at, step) => at?.[step], one.document),
      reference,
    ).toBeDefined()
  }

  const ids = Object.values<Document>(one.document.paths).flatMap((item) =>
    verbs.flatMap((verb) => item[verb]?.operationId ?? []),
  )
  expect(new Set(ids).size).toBe(ids.length)
})

test('HEAD answers like GET, without a body', async () => {
  await using one = await documented()
  const {api, document, plane} = one
  for (const [path, item] of Object.entries<Document>(document.paths)) {
    if (!item.get) continue
    const at = `${filled(path)}?worker_id=w&q=x`
    const abort = new AbortController()
    const got = await fetch(plane.url + at, {signal: abort.signal})
    const head = await api.send('HEAD', at)
    abort.abort()
    expect(head, path).toMatchObject({status: got.status, body: ''})
    expect(head.headers.get('content-type'), path).toBe(got.headers.get('content-type'))
  }
})

test('the document says which routes need a token', async () => {
  await using plane = await startPlane({tokens: parseTokens('ci/client:client')})
  expect((await new Api(plane.url).get('openapi')).status).toBe(401)
  const {body} = await new Api(plane.url, 'client').get('openapi')
  expect(body).toMatchObject({
    security: [{bearer: []}],
    components: {securitySchemes: {bearer: {scheme: 'bearer'}}},
    paths: {'/health': {get: {security: []}}},
  })
  expect(body.paths['/v1/opencode/tasks'].get).not.toHaveProperty('security')
})
