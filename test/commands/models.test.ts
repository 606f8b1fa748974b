import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startPlane} from '../support/plane.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {startInProcessWorker} from '../support/in-process-worker.ts'
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
