import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startPlane} from '../support/plane.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {startInProcessWorker} from '../support/in-process-worker.ts'
import {openTerminal} from '../support/terminal.ts'
import {openWorkshop} from '../support/workshop.ts'

const capabilities = {reasoning: true, attachment: false, tool_call: true}
const model = (name: string) => ({id: `stub/${name}`, name, provider: 'stub', provider_id: 'stub', capabilities})

test('models are announced by the worker, again when they change, and listed by the command', async () => {
  await using plane = await startPlane()
  using scratch = scratchFolder()
  await using shop = openWorkshop()
  let known = [model('fast')]
  const path = repository(join(scratch.path, 'p'))
  await using _worker = await startInProcessWorker(plane.url, [path], {models: {get: async () => known}})
  const remote = async () => {
    const {stdout} = await shop.cli(['models', '--remote', '--json', '--server', plane.url])
    return (JSON.parse(stdout) as {id: string}[]).map(({id}) => id)
  }
  await until(async () => (await remote()).length === 1, 'the models to be announced')
  expect(await remote()).toEqual(['stub/fast'])
  known = [model('fast'), model('slow')]
  await until(async () => (await remote()).length === 2, 'the change to be announced')
})

test('models lists the models of the local OpenCode, and says when there are none', async () => {
  await using shop = openWorkshop()
  const {code, stdout} = await shop.cli(['models'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/MODEL +NAME +PROVIDER\nstub\/fast +fast +stub\nstub\/slow +slow +stub\n/)
  const missing = await shop.cli(['models', '--opencode', '/nowhere/opencode'])
  expect(missing).toMatchObject({code: 78, stderr: expect.stringMatching(/\/nowhere\/opencode/)})
})

test('the list of all models is filled as soon as OpenCode has answered, not with the next minute', async () => {
  await using plane = await startPlane()
  await using shop = openWorkshop()
  const path = repository(join(shop.path, 'p'))
  const begun = performance.now()
  await shop.worker(plane.url, 'w', [path])
  const list = async () => (await plane.call('GET', '/v1/opencode/models')).body as {models: {id: string}[]}
  const {models} = await until(async () => ((await list()).models.length > 0 ? list() : undefined), 'the models')
  expect(models.map(({id}) => id)).toEqual(['stub/fast', 'stub/slow'])
  expect(performance.now() - begun).toBeLessThan(12_000) // a heartbeat comes each 15 s, a registration each minute
})

test('an empty list of all models says why: no worker, not asked yet, no login', async () => {
  await using plane = await startPlane()
  await using shop = openWorkshop()
  const list = async () => (await plane.call('GET', '/v1/opencode/models')).body as {reason: string; models: unknown[]}
  expect(await list()).toEqual({models: [], default: null, reason: 'no worker is registered'})
  await plane.call('POST', '/v1/opencode/workers/register', {worker_id: 'p', name: 'python'})
  expect((await list()).reason).toBe('worker python: it has announced none yet')
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  const none = {get: async () => [], problem: () => 'OpenCode has no login of a provider'}
  await using worker = await startInProcessWorker(plane.url, [path], {models: none})
  await until(
    async () => (await list()).reason.includes('worker here: OpenCode has no login of a provider'),
    'the reason',
  )
  expect(worker.log()).toContain('No models are announced: OpenCode has no login of a provider')
  const remote = await shop.cli(['models', '--remote', '--server', plane.url])
  expect(remote).toMatchObject({
    code: 0,
    stdout: 'No models.\n',
    stderr: expect.stringMatching(/^Reason: worker python: .*worker here/),
  })
})

test('on a terminal the table of models fits, and the ids are complete', async () => {
  await using plane = await startPlane()
  await using shop = openWorkshop()
  const id = 'anthropic/claude-opus-with-a-long-name-20260101'
  const models = [{...model('x'), id, name: 'A name that is as long as that of the model', provider: 'Anthropic'}]
  await plane.call('POST', '/v1/opencode/workers/register', {worker_id: 'w', name: 'w', models})
  using terminal = await openTerminal({cwd: shop.path, env: shop.env, columns: 80})
  terminal.run('models', '--remote', '--server', plane.url)
  await terminal.shows(/^\S+ +A name .*… +Anthropic \(via w\)$/m)
  expect(terminal.screen()).toMatch(new RegExp(`^${id}  A name`, 'm'))
})
