import {expect, test} from 'vitest'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Api} from '../support/api.ts'
import {startPlane} from '../support/plane.ts'

const model = (id: string, more: object = {}) => ({
  id,
  name: id.toUpperCase(),
  provider: 'Anthropic',
  provider_id: 'anthropic',
  capabilities: {reasoning: true, attachment: false, tool_call: true},
  ...more,
})

test('the list has the models of all workers, each once, and the provider names the workers', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  expect((await api.get('models')).body).toEqual({models: [], default: null, reason: 'no worker is registered'})
  await api.register('w1', {name: 'box', models: [model('a/one'), model('a/two'), {name: 'none'}, 7, null]})
  await api.register('w2', {models: [model('a/two', {default: true}), {id: 'b/three'}]})
  for (let times = 0; times < 2; times++) {
    const {body} = await api.get('models')
    expect(body.models.map(({id, provider, workers}: Record<string, unknown>) => [id, provider, workers])).toEqual([
      ['a/one', 'Anthropic (via box)', ['w1']],
      ['a/two', 'Anthropic (via box)', ['w1', 'w2']],
      ['b/three', 'b (via w2)', ['w2']],
    ])
    expect(body.default).toBe('a/two')
  }

  expect((await api.get('worker', {worker: 'w2'})).body.models).toEqual([
    model('a/two', {default: true}),
    {id: 'b/three'},
  ])
  await api.post('unregister', {worker: 'w1'})
  expect((await api.get('models')).body).toMatchObject({
    models: [{id: 'a/two', provider: 'Anthropic (via w2)'}, {id: 'b/three'}],
    default: 'a/two',
  })
})

test('every token may read the models, and a token is required', async () => {
  await using plane = await startPlane({tokens: parseTokens('me:admin,w/worker=w:worker,ci/client:client')})
  for (const token of ['admin', 'worker', 'client'])
    expect((await new Api(plane.url, token).get('models')).status).toBe(200)
  expect((await new Api(plane.url).get('models')).status).toBe(401)
})
