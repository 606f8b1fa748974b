import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {answering, printing, stepStart} from '../../support/agent-lines.ts'
import {stop} from '../../support/cli.ts'
import {startOneWorker} from '../../support/one-worker.ts'
import {processesOf} from '../../support/opencode-fleet.ts'
import {until} from '../../support/scratch.ts'

/** A worker that is killed when it has started an agent, and before the control plane knows that it has the task. */
async function killedUnconfirmed() {
  const at = await startOneWorker()
  at.proxy.chooseAction = (request) =>
    /\/tasks\/claim|\/heartbeat|\/status|\/output/.test(request) ? {do: 'reset', when: 'before'} : {do: 'pass'}
  const gate = join(at.path, 'gate')
  const id = await at.begin(`${printing(stepStart())}while [ ! -e ${gate} ]; do sleep 0.05; done\n${answering('hi')}`)
  await until(() => processesOf(id).length > 0, 'the agent')
  await stop(at.worker, 'SIGKILL')
  expect(await at.http.get(id)).toMatchObject({status: 'assigned', attempt: 1})
  at.proxy.chooseAction = () => ({do: 'pass'})
  return {...at, id, open: () => writeFileSync(gate, '')}
}

/** The attempts of a task that have processes now. */
function attemptsOf(task: string): Set<number> {
  const environments = processesOf(task).map((pid) => readText(`/proc/${pid}/environ`))
  const found = environments.map((text) => Number(new RegExp(`:${task}:(\\d+)`).exec(text)?.[1] ?? 0))
  return new Set(found.filter((attempt) => attempt > 0))
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return '' // the process has ended meanwhile
  }
}

test('the next process of a worker confirms the task of an agent that it adopts', async () => {
  await using at = await killedUnconfirmed()
  await at.startWorker()
  await until(async () => (await at.http.get(at.id)).status === 'running', 'the confirmation')
  at.open()
  expect(await at.ended(at.id)).toMatchObject({status: 'completed', attempt: 1, returns: 0, result: 'hi'})
  expect(processesOf(at.id)).toEqual([])
})

test('an adopted agent whose assignment has lapsed is ended before the next attempt begins', async () => {
  await using at = await killedUnconfirmed()
  await until(async () => (await at.http.get(at.id)).attempt > 1, 'the assignment to lapse')
  await at.startWorker()
  const next = await until(() => {
    const attempts = attemptsOf(at.id)
    return [...attempts].some((attempt) => attempt > 1) ? attempts : undefined
  }, 'the next agent')
  expect([...next]).toHaveLength(1)
  at.open()
  const {status, attempt, returns, result} = await at.ended(at.id)
  expect({status, result, tries: attempt - returns}).toEqual({status: 'completed', result: 'hi', tries: 1})
})
