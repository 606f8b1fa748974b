import {existsSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {startPlane} from '../support/plane.ts'
import {startProxy} from '../support/proxy.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {startInProcessWorker} from '../support/in-process-worker.ts'

const heartbeat = /\/heartbeat/

/** The first run waits until it is ended, the second one answers. */
const once = `[ -e began ] && { ${answering('again')}exit; }; touch began; ${printing(stepStart())}exec sleep 600`

test('a worker that cannot reach the control plane releases its portable tasks before their lease expires, and continues the others', async () => {
  await using plane = await startPlane()
  await using proxy = await startProxy(plane.url)
  using scratch = scratchFolder()
  const [globalPath, path] = ['global', 'p'].map((name) => repository(join(scratch.path, name))) as [string, string]
  await using worker = await startInProcessWorker(proxy.url, [path], {factor: 20, globalPath})
  await until(() => worker.running.codebases.ids.length === 2, 'its codebases')
  const here = await plane.task(worker.running.codebases.idOf(path) ?? '', {prompt: once})
  const anywhere = await plane.task('global', {prompt: once})
  const began = (folder: string) => until(() => existsSync(join(folder, 'began')), `a task in ${folder}`)
  await Promise.all([began(globalPath), began(path)])
  proxy.rule = (at) => (heartbeat.test(at) ? 'refuse' : 'pass')
  const ended = await until(
    async () => {
      const task = await plane.get(anywhere.id)
      return task.status === 'completed' ? task : undefined
    },
    () => `the second attempt:\n${worker.log()}`,
  )
  expect(ended).toMatchObject({attempt: 2, result: 'again'})
  expect(worker.log()).toContain('the control plane was out of reach, and may give the task to another worker')
  expect(await plane.get(here.id)).toMatchObject({status: 'running', attempt: 1})
})
