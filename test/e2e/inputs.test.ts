import {existsSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'
import {startAskingWorker, type AskingWorkerOptions} from '../support/asking-worker.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {openTerminal} from '../support/terminal.ts'

/** A control plane and a worker in processes of their own, with a task whose agent asks for a permission. */
async function askingTask(more: Partial<AskingWorkerOptions> = {}, prompt = 'permission p edit a file') {
  const fleet = await startFleet({isPlaneProcess: true})
  const codebase = repository(join(fleet.path, 'tree'))
  const log = join(fleet.path, 'agent.log')
  const startWorker = (options: Partial<AskingWorkerOptions> = {}) =>
    startAskingWorker({server: fleet.url, folder: join(fleet.path, 'asking'), codebase, log, ...options})
  const workers = [await startWorker(more)]
  const client = new ControlPlaneClient({baseUrl: fleet.url, token: undefined})
  const id = await until(() => fleet.codebaseId(codebase), 'the codebase')
  const task = await fleet.http.task(id, {prompt})
  const question = await until(async () => (await client.task(task.id)).waiting_for?.[0], 'the question', 20_000)
  return {
    ...{fleet, client, question},
    id: task.id,
    worker: workers[0]!,
    nextWorker: async () => {
      const next = await startWorker()
      workers.push(next)
      return next
    },
    answer: (input = 'the answer') => client.sendInput(task.id, {id: input, question: question.id, option: 'allow'}),
    inputs: () => until(() => client.inputs(task.id).catch(() => undefined), 'the inputs'),
    /** How many answers to its question the agent has got. */
    answers: () =>
      (existsSync(log) ? readFileSync(log, 'utf8') : '').split('\n').filter((line) => line.includes('"outcome"'))
        .length,
    async [Symbol.asyncDispose]() {
      for (const one of workers) await one.kill()
      await client[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}

type Asking = Awaited<ReturnType<typeof askingTask>>

/** The task ends, and its agent was answered once. */
async function answeredOnce(at: Asking): Promise<void> {
  expect(await at.fleet.ended(at.id)).toMatchObject({status: 'completed', result: 'p: once'})
  expect(await at.inputs()).toMatchObject([{id: 'the answer', state: 'delivered', reason: null}])
  expect(at.answers()).toBe(1)
}

test('a question is answered with `tasks answer`, and its task goes on', async () => {
  await using at = await askingTask()
  const {fleet, id} = at
  const shown = await fleet.cli(['tasks', 'get', id.slice(0, 8)])
  expect(shown.stdout).toMatch(/^asks +edit a file \(question 0, until /m)
  expect((await fleet.cli(['tasks', 'list'])).stdout).toMatch(/running, asks/)
  const wrong = await fleet.cli(['tasks', 'answer', id, 'yes'])
  expect(wrong).toMatchObject({code: 2, stderr: expect.stringContaining('Answer with allow, always, deny')})
  const answered = await fleet.cli(['tasks', 'answer', id.slice(0, 8), 'allow'])
  expect(answered).toMatchObject({code: 0, stdout: 'Answered edit a file: allow. The agent has it.\n'})
  expect(await fleet.ended(id)).toMatchObject({status: 'completed', result: 'p: once'})
  expect((await fleet.cli(['tasks', 'get', id])).stdout).toMatch(/^told .* to question 0: allow \(delivered\)/m)
  const late = await fleet.cli(['tasks', 'answer', id, 'deny'])
  expect(late).toMatchObject({code: 1, stderr: expect.stringContaining('asks nothing: it is completed')})
  const next = await fleet.cli(['tasks', 'say', id, 'text more', '--json'])
  const {next_task: nextTask} = JSON.parse(next.stdout)
  expect(nextTask).toMatchObject({title: 'text more', metadata: {resume_session_id: expect.any(String)}})
  expect(await fleet.ended(nextTask.id)).toMatchObject({status: 'completed', result: 'more'})
})

test('an answer is delivered after the control plane was killed right after it had stored it', async () => {
  await using at = await askingTask()
  at.worker.process.kill('SIGSTOP') // it reads nothing of its stream
  expect((await at.answer()).input.state).toBe('stored')
  await at.fleet.killPlane()
  await at.fleet.restartPlane()
  expect(at.answers()).toBe(0)
  at.worker.process.kill('SIGCONT')
  await answeredOnce(at)
})

test('an answer is delivered to the next process of a worker that was killed when it had received it', async () => {
  await using at = await askingTask({holdsInputs: true})
  await at.answer()
  await at.worker.says('holds input the answer')
  await at.worker.kill()
  expect(at.answers()).toBe(0)
  await at.nextWorker()
  await answeredOnce(at)
})

test('a question stays open while its worker is away, and is answered after that', async () => {
  await using at = await askingTask()
  await at.worker.kill()
  expect((await at.client.task(at.id)).waiting_for).toMatchObject([{id: at.question.id}])
  await at.answer()
  await at.nextWorker()
  await answeredOnce(at)
})

test('a result that was lost with the control plane is sent again', async () => {
  await using at = await askingTask({giveDelayMs: 1500})
  await at.answer()
  await at.worker.says('holds input the answer')
  await at.fleet.killPlane()
  await until(() => at.answers() === 1, 'the agent to be answered')
  await at.fleet.restartPlane()
  await answeredOnce(at)
})

test('a word that waits for the end of the turn outlives its worker, and is said once', async () => {
  await using at = await askingTask()
  await at.client.sendInput(at.id, {id: 'the word', text: 'text more'})
  await at.worker.kill()
  await at.nextWorker()
  await at.answer()
  expect(await at.fleet.ended(at.id)).toMatchObject({status: 'completed', result: 'more'})
  const states = (await at.inputs()).map(({id, state}) => `${id} ${state}`)
  expect(states).toEqual(['the word delivered', 'the answer delivered'])
  expect(at.answers()).toBe(1)
})

test('on a terminal --follow asks right there; elsewhere it prints how to answer', async () => {
  await using at = await askingTask({}, 'permission p edit a file\ntext done')
  const {fleet, id} = at
  const piped = fleet.start(['tasks', 'output', id, '--follow'])
  await until(() => piped.stderr().includes(`tasks answer ${id} allow|always|deny|TEXT`), 'the hint')
  expect(piped.stderr()).toContain('The agent asks for a permission: edit a file')
  using terminal = await openTerminal({cwd: fleet.path, env: fleet.env, columns: 120})
  terminal.run('tasks', 'output', id, '--follow', '--server', fleet.url)
  await terminal.shows(/The agent asks for a permission: edit a file\nAnswer with allow, always, deny; .*\nanswer>/)
  terminal.type('yes')
  terminal.press('Enter')
  await terminal.shows(/"yes" is no answer to this permission/)
  terminal.type('allow')
  terminal.press('Enter')
  await terminal.shows(/p: once[^]*The agent has your answer/)
  expect((await piped.finished).code).toBe(0)
  expect(at.answers()).toBe(1)
})
