import {expect, test} from 'vitest'
import {printing, stepStart} from '../../support/agent-lines.ts'
import {stop} from '../../support/cli.ts'
import {startOneWorker} from '../../support/one-worker.ts'
import {processesOf} from '../../support/opencode-fleet.ts'
import {until} from '../../support/scratch.ts'

async function setUp() {
  const at = await startOneWorker()
  return {...at, cancel: (id: string, ...flags: string[]) => at.cli(['tasks', 'cancel', id, ...flags])}
}

const leaving = 'setsid nohup sleep 601 >/dev/null 2>&1 & exec sleep 600'

test('a task without a worker is cancelled at once', async () => {
  await using at = await setUp()
  const running = await at.begin('exec sleep 600')
  await until(() => processesOf(running).length > 0, 'the first to run')
  const waiting = await at.begin('exec sleep 600')
  expect((await at.cancel(waiting)).code).toBe(0)
  expect((await at.http.get(waiting)).status).toBe('cancelled')
  expect(processesOf(waiting)).toEqual([])
})

test('an agent without output is ended with all its processes, and only then the task is cancelled', async () => {
  await using at = await setUp()
  const id = await at.begin(leaving)
  await until(() => processesOf(id).length === 2, 'the agent and what it leaves')
  expect((await at.cancel(id, '--wait')).code).toBe(0)
  expect(processesOf(id)).toEqual([])
  expect((await at.http.get(id)).status).toBe('cancelled')
})

test('a task that is cancelled while its worker is dead is ended by the next worker', async () => {
  await using at = await setUp()
  const id = await at.begin(`${printing(stepStart())}${leaving}`)
  await until(() => processesOf(id).length === 2, 'the agent and what it leaves')
  await stop(at.worker, 'SIGKILL')
  expect((await at.cancel(id)).code).toBe(0)
  expect((await at.http.get(id)).status).toMatch(/running|assigned/) // not cancelled before its processes have ended
  await until(() => processesOf(id).length === 2, 'both to be left') // a process that starts another program shows no marker
  await at.startWorker()
  expect((await at.ended(id)).status).toBe('cancelled')
  expect(processesOf(id)).toEqual([])
})

test('a worker whose push channels are silent learns of a cancellation by polling', async () => {
  await using at = await setUp()
  const id = await at.begin(`${printing(stepStart())}${leaving}`)
  await until(() => processesOf(id).length === 2, 'the agent and what it leaves')
  at.proxy.withholdsBody = (request) => request.includes('/tasks/stream')
  expect((await at.cancel(id)).code).toBe(0)
  expect((await at.ended(id)).status).toBe('cancelled')
  expect(processesOf(id)).toEqual([])
})
