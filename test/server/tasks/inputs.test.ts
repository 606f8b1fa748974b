import {expect, test} from 'vitest'
import {pathTo} from '../../../src/lib/protocol/routes.ts'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Api} from '../support/api.ts'
import {Listener, openStream} from '../support/events.ts'
import {scratch, startPlane, until} from '../support/plane.ts'

const features = ['lease', 'decline', 'fetch', 'assign', 'input']
const question = (id: string) => ({
  ...{id, kind: 'permission', title: 'bash: rm -r build', since: 1, until: null},
  options: [{id: 'once', name: 'Allow once', kind: 'allow_once'}],
})

/** A task that runs on worker `w`, which has an open stream. */
async function runningTask(options: Parameters<typeof startPlane>[0] = {}, token?: string, admin = token) {
  const plane = await startPlane(options)
  const api = new Api(plane.url, token)
  await api.registerOwn('w', {features})
  const codebase = await api.codebase('w', '/a')
  const stream = await openStream(api, 'w')
  const task = await new Api(plane.url, admin).create(codebase)
  await stream.pushed(task.id)
  await api.post('claim', {}, {task_id: task.id, attempt: 1}, {query: {worker_id: 'w'}})
  const params = {task: task.id}
  return {
    ...{plane, api, codebase, stream, task},
    ask: (questions: object[], inputs: object[] = [], more: object = {}, by = api) =>
      by.send('PUT', pathTo('taskQuestions', params), {worker_id: 'w', attempt: 1, questions, inputs, ...more}),
    say: (input: object, by = api) => by.post('taskInputs', params, input),
    inputs: (query: Record<string, string> = {}, by = api) => by.get('taskInputs', params, {query}),
    async [Symbol.asyncDispose]() {
      await stream[Symbol.asyncDispose]()
      await plane.close()
    },
  }
}

test('an agent asks, a person answers, and the worker tells what became of it', async () => {
  await using one = await runningTask()
  const {api, task, stream} = one
  await using follower = await Listener.open(api, pathTo('taskOutputStream', {task: task.id}))
  expect((await one.ask([question('q')])).body).toEqual({success: true})
  expect(await api.task(task.id)).toMatchObject({
    waiting: 'asks for a permission: bash: rm -r build',
    waiting_for: [question('q')],
  })
  expect((await api.get('tasks')).body[0]).toMatchObject({waiting_for: [{id: 'q'}]})
  const {status, body} = await one.say({id: 'a', question: 'q', option: 'allow'})
  expect([status, body.input]).toMatchObject([202, {id: 'a', state: 'stored', created_by: null}])
  expect(await until(() => stream.data('task_input')[0])).toEqual({
    ...{task_id: task.id, attempt: 1},
    input: {id: 'a', question: 'q', option: 'allow', text: null, mode: 'queue', signature: null},
  })
  expect((await api.task(task.id)).waiting_for).toBeUndefined()
  expect((await one.inputs({worker_id: 'w', attempt: '1', state: 'stored'})).body.inputs).toMatchObject([{id: 'a'}])
  await one.ask([], [{id: 'a', outcome: 'delivered'}])
  expect((await one.inputs({worker_id: 'w', attempt: '1', state: 'stored'})).body.inputs).toEqual([])
  expect((await one.inputs()).body.inputs).toMatchObject([{id: 'a', state: 'delivered', option: 'allow'}])
  await until(() => follower.data('questions').length === 2)
  expect(follower.data('questions')).toMatchObject([{waiting_for: [{id: 'q'}]}, {waiting_for: []}])
  const {body: messages} = await api.get('monitorMessages')
  expect(messages.map((message: {content: string}) => message.content)).toEqual(
    expect.arrayContaining([
      "Task 'T' asks for a permission: bash: rm -r build",
      "Task 'T' was answered about its permission: bash: rm -r build",
    ]),
  )
})

test('refusals are precise', async () => {
  await using one = await runningTask()
  const {api} = one
  await one.ask([question('q')])
  expect((await api.post('taskInputs', {task: 'none'}, {text: 'a'})).status).toBe(404)
  expect((await one.say({text: ' '})).status).toBe(400)
  expect((await one.say({text: 'x'.repeat(300_000)})).status).toBe(400)
  const {status, body} = await one.say({question: 'q', option: 'maybe'})
  expect([status, body]).toMatchObject([400, {options: [{id: 'once'}]}])
  expect((await one.say({question: 'other', option: 'allow'})).status).toBe(409)
  expect((await one.say({question: 'q', option: 'allow'})).status).toBe(202)
  expect((await one.say({question: 'q', option: 'deny'})).body.detail).toMatch(/^Question q was answered by somebody/)
  expect((await one.say({text: 'a', mode: 'shout'})).status).toBe(422)
  expect((await one.ask([], [], {attempt: 2})).status).toBe(409)
  expect((await one.inputs({worker_id: 'w', attempt: '2'})).status).toBe(409)
  expect((await one.inputs({state: 'lost'})).status).toBe(400)
})

test('a long text is fetched, because it does not fit a frame', async () => {
  await using one = await runningTask()
  const text = 'x'.repeat(100_000)
  await one.say({id: 'long', text})
  expect(await until(() => one.stream.data('task_input')[0])).toMatchObject({input: null})
  expect((await one.inputs({worker_id: 'w', attempt: '1', state: 'stored'})).body.inputs).toMatchObject([
    {id: 'long', text},
  ])
})

test('a message to an ended task answers with the next task of its session', async () => {
  await using one = await runningTask()
  const {api, task} = one
  await api.report(task.id, 'w', 'completed', {result: 'r', attempt: 1, session_id: 'ses_1'})
  const first = await one.say({id: 'm', text: 'And the docs?'})
  expect([first.status, first.body.task]).toMatchObject([
    201,
    {title: 'And the docs?', codebase_id: one.codebase, metadata: {resume_session_id: 'ses_1'}},
  ])
  const again = await one.say({id: 'm', text: 'And the docs?'})
  expect([again.status, again.body.task.id]).toEqual([201, first.body.task.id])
  expect((await one.inputs()).body.inputs).toMatchObject([{id: 'm', next_task: first.body.task.id}])
})

test('inputs are listed in pages', async () => {
  await using one = await runningTask()
  for (const id of ['1', '2', '3']) await one.say({id, text: id})
  const first = await one.inputs({limit: '2'})
  const rest = await one.inputs({cursor: first.headers.get('x-next-cursor') ?? ''})
  const ids = (answer: typeof first) => answer.body.inputs.map(({id}: {id: string}) => id)
  expect([ids(first), ids(rest)]).toEqual([['1', '2'], ['3']])
})

test('a control plane that was stopped after it stored an input delivers it when it is back', async () => {
  await using folder = await scratch()
  const database = folder.file('server.db')
  let id: string
  {
    await using one = await runningTask({database})
    id = one.task.id
    await one.ask([question('q')])
    expect((await one.say({id: 'a', question: 'q', option: 'allow'})).status).toBe(202)
  }

  const plane = await startPlane({database})
  const api = new Api(plane.url)
  expect((await api.post('taskInputs', {task: id}, {id: 'a', question: 'q', option: 'allow'})).status).toBe(202)
  {
    await using stream = await openStream(api, 'w')
    expect(await until(() => stream.data('task_input')[0])).toMatchObject({task_id: id, input: {id: 'a'}})
  }
  await plane.close()
})

test("a worker's token asks for its own runs only, and only a client's token answers", async () => {
  const tokens = parseTokens('root:admin-token, ann/client:client-token, one/worker:worker-1, two/worker:worker-2')
  await using one = await runningTask({tokens}, 'worker-1', 'admin-token')
  const {plane, api} = one
  const [ann, two] = [new Api(plane.url, 'client-token'), new Api(plane.url, 'worker-2')]
  await two.registerOwn('other', {features})
  expect((await one.ask([question('q')])).status).toBe(200)
  expect((await one.ask([question('p')], [], {worker_id: 'other'}, two)).status).toBe(409)
  expect((await one.ask([question('p')], [], {}, ann)).status).toBe(403)
  expect((await one.say({question: 'q', option: 'allow'}, api)).status).toBe(403)
  expect((await one.say({question: 'q', option: 'allow'}, ann)).body.input).toMatchObject({created_by: 'ann'})
  expect((await one.inputs({}, two)).status).toBe(409)
  expect((await one.inputs({}, api)).body.inputs).toHaveLength(1)
  expect((await one.inputs({}, ann)).body.inputs).toMatchObject([{created_by: 'ann'}])
  const {body} = await new Api(plane.url, 'admin-token').get('audit')
  expect(body.entries).toContainEqual(
    expect.objectContaining({what: 'task.answered', who: 'ann', task_id: one.task.id, worker_id: 'w'}),
  )
})
