import {existsSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {answering, printing, stepStart, text, finish} from '../support/agent-lines.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {startInProcessWorker} from '../support/in-process-worker.ts'
import {openWorkshop, says} from '../support/workshop.ts'

// one test or more for each requirement of the existing server on a worker

const isFinal = (status: string) => ['completed', 'failed', 'cancelled'].includes(status)

const ended = (server: ReferenceServer, task: {id: string}) =>
  until(() => {
    const now = server.task(task.id)
    return isFinal(now.status) ? now : undefined
  }, `task ${task.id} to end`)

const isRunning = (server: ReferenceServer, task: {id: string}) =>
  until(() => server.task(task.id).status === 'running', 'the task to run')

/** The start of a prompt whose runs are counted. */
const counted = 'echo run >> runs\n'

/** The number of agents that were started in this working tree. */
const runs = (path: string) => readFileSync(join(path, 'runs'), 'utf8').split('\n').length - 1

const isConnected = (server: ReferenceServer) =>
  until(() => server.streams.entries.size > 0, 'the stream to be known to the server')

test('1: the stream names worker, agent, codebases and capabilities, and every request has the token', async () => {
  await using server = await ReferenceServer.start({token: 'sesame'})
  await using shop = openWorkshop({A2A_AUTH_TOKEN: 'sesame'})
  const paths = ['a', 'b'].map((name) => repository(join(shop.path, name)))
  await shop.worker(`${server.url}/`, 'w', paths)
  const [stream] = server.calls('GET', /^\/v1\/worker\/tasks\/stream$/)
  const [id] = server.workers.keys()
  expect(stream).toMatchObject({
    status: 0, // still open
    query: {worker_id: id, agent_name: 'w'},
    headers: {
      accept: 'text/event-stream',
      'x-worker-id': id,
      worker_id: id,
      'x-agent-name': 'w',
      'x-capabilities': 'opencode,build,deploy',
      'x-codebases': paths.map((path) => server.codebaseId(path)).join(','),
    },
  })
  const task = server.trigger(server.codebaseId(paths[1] ?? ''), {prompt: 'hello'})
  expect((await ended(server, task)).status).toBe('completed')
  expect(server.requests.map(({headers}) => headers.authorization)).toEqual(server.requests.map(() => 'Bearer sesame'))
})

test('2: the worker is registered before its codebases, because the database accepts them only then', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using _worker = await startInProcessWorker(server.url, [path], {factor: 1})
  await isConnected(server)
  expect(server.codebases.get(server.codebaseId(path))).toMatchObject({isStored: true})
})

test('2: the worker sends a heartbeat every 15 seconds and a registration every minute, or at once if the server has forgotten it', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path])
  const registrations = () => server.calls('POST', /workers\/register$/).length
  const heartbeats = () => server.calls('POST', /\/heartbeat$/)
  await until(() => registrations() === 3, 'two further registrations')
  expect(heartbeats().length).toBeGreaterThanOrEqual(6)
  expect(heartbeats().length).toBeLessThanOrEqual(10)
  expect(heartbeats().map(({text, headers}) => text + (headers['content-type'] ?? ''))).toEqual(
    heartbeats().map(() => ''),
  )
  const before = server.requests.length
  server.forgetWorker(worker.id)
  await until(() => server.workers.has(worker.id), 'the registration')
  const answers = server.requests.slice(before).filter(({path: at}) => at.includes('/workers/'))
  expect(answers.slice(0, 2).map(({path: at, status}) => `${at.split('/').at(-1)} ${status}`)).toEqual([
    'heartbeat 404',
    'register 200',
  ])
  await until(() => server.calls('POST', /codebases$/).length === 4, 'the codebase to be registered again')
})

test('2: an emptied server gives codebases new ids, and pushes their tasks to the worker', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path])
  await isConnected(server)
  const old = server.codebaseId(path)
  await server.restart({emptied: true})
  const id = await until(() => server.codebaseId(path), 'the codebase to be registered')
  expect(id).not.toBe(old)
  await until(() => server.streams.entries.get(worker.id)?.codebases.has(id), 'the stream to name the new id')
})

test('2: a refused codebase is logged once, and the others are served', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const [bad = '', good = ''] = ['bad', 'good'].map((name) => repository(join(scratch.path, name)))
  server.odd = ({method, body}) =>
    method === 'POST' && body?.path === bad
      ? {status: 400, type: 'application/json', text: '{"detail": "not this one"}'}
      : undefined
  await using worker = await startInProcessWorker(server.url, [bad, good])
  await isConnected(server)
  await until(() => server.calls('POST', /workers\/register$/).length === 2, 'the next registration')
  const task = server.trigger(server.codebaseId(good), {prompt: answering('served')})
  expect(await ended(server, task)).toMatchObject({status: 'completed'})
  expect(worker.events.filter(({type}) => type === 'codebase.refused')).toMatchObject([
    {path: bad, reason: expect.stringMatching(/not this one/)},
  ])
})

test('3: a task that is pushed twice, in two shapes, and also polled, runs once', async () => {
  await using server = await ReferenceServer.start({pushes: 2})
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using _worker = await startInProcessWorker(server.url, [path], {factor: 1})
  await isConnected(server)
  const task = server.createByMcp(server.codebaseId(path), {
    prompt: counted + printing(stepStart(), text('line 0'), text('line 1'), text('line 2'), finish()),
  })
  server.push(task, 'A')
  await ended(server, task)
  server.push(task, 'B')
  const next = server.createByMcp(server.codebaseId(path), {prompt: counted + answering('next')})
  await ended(server, next)
  expect(runs(path)).toBe(2)
  expect(server.output(task.id).match(/line \d/g)).toEqual(['line 0', 'line 1', 'line 2'])
})

test('3: a task that was reset to pending is another run', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using _worker = await startInProcessWorker(server.url, [path], {factor: 1})
  await isConnected(server)
  const task = server.trigger(server.codebaseId(path), {prompt: counted + answering('hello')})
  await ended(server, task)
  await fetch(`${server.url}/v1/opencode/tasks/${task.id}/status`, {
    method: 'PUT',
    body: JSON.stringify({status: 'pending', worker_id: 'somebody'}),
  })
  await until(() => runs(path) === 2, 'the second run')
  await ended(server, task)
})

test('4: waiting tasks are found at the start, and after the stream was lost', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  server.workers.set('earlier', {worker_id: 'earlier', name: 'earlier', last_seen: new Date()})
  const {id} = server.registerCodebase({name: 'p', path, worker_id: 'earlier'})
  const first = server.createSilently(id, {prompt: answering('before')})
  await using worker = await startInProcessWorker(server.url, [path], {factor: 1})
  expect((await ended(server, first)).status).toBe('completed')
  server.dropStreams()
  const second = server.createByMcp(id, {prompt: answering('meanwhile')})
  expect((await ended(server, second)).status).toBe('completed')
  await until(() => worker.log().match(/Task stream connected/g)?.length === 2, 'the stream to be open again')
  const third = server.createByMcp(id, {prompt: answering('afterwards')})
  expect((await ended(server, third)).status).toBe('completed')
})

test('4: a task for another codebase starts while the first one runs, pushed or found: a claim marks the worker as busy for a moment only', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const [a = '', b = ''] = ['a', 'b'].map((name) => repository(join(scratch.path, name)))
  await using _worker = await startInProcessWorker(server.url, [a, b], {factor: 1})
  await isConnected(server)
  const first = server.trigger(server.codebaseId(a), {prompt: 'sleep 300'})
  await isRunning(server, first)
  const second = server.trigger(server.codebaseId(b), {prompt: answering('not pushed')}) // the worker is still busy
  expect((await ended(server, second)).status).toBe('completed')
  await until(() => [...server.streams.entries.values()][0]?.currentTask === null, 'both claims to be released')
  const third = server.trigger(server.codebaseId(b), {prompt: answering('pushed')})
  expect((await ended(server, third)).status).toBe('completed')
  expect(server.streams.pushed).toEqual([first.id, third.id])
  expect(server.task(first.id).status).toBe('running')
})

test('4: a task that the server forgot to push is found by a slow poll while the stream is open', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path])
  await isConnected(server)
  const task = server.createSilently(server.codebaseId(path), {prompt: answering('found')})
  expect(await ended(server, task)).toMatchObject({status: 'completed', result: 'found'})
  expect(worker.running.intake.connection).toBe('stream')
})

test('4: a stream that the server has forgotten is reopened, and delivers tasks again', async () => {
  await using server = await ReferenceServer.start({heartbeatMs: 20})
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path])
  await isConnected(server)
  server.zombie(worker.id)
  await isConnected(server)
  expect(worker.log()).toMatch(/the server does not know this stream any more/)
  expect(server.streams.openCount).toBe(1)
  const task = server.trigger(server.codebaseId(path), {prompt: answering('alive')})
  expect(await ended(server, task)).toMatchObject({status: 'completed', result: 'alive'})
})

test('5: prompt, model and session come from the task itself, not from the push', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const path = repository(join(shop.path, 'p'))
  await shop.worker(server.url, 'w', [path])
  const id = server.codebaseId(path)
  const metadata = {model: 'stub/fast', resume_session_id: 'ses_old'}
  const byMetadata = server.createByMcp(id, {title: 'One', prompt: 'first', metadata})
  expect((await ended(server, byMetadata)).status).toBe('completed')
  const byField = server.createByMcp(id, {title: 'Two', prompt: 'second', model: 'stub/slow'})
  expect((await ended(server, byField)).status).toBe('completed')
  const started = readFileSync(join(shop.path, 'agent.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as {at: string; prompt: string; args: string[]})
    .filter(({at}) => at === 'start')
  const common = ['--format', 'json', '--agent', 'build', '--model']
  expect(started.map(({prompt, args}) => ({prompt, args}))).toEqual([
    {prompt: 'first', args: [...common, 'stub/fast', '--session', 'ses_old']},
    {prompt: 'second', args: [...common, 'stub/slow', '--title=Two']},
  ])
})

test('6: with an open stream a task is claimed and read at the same time, and released while it runs', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using _worker = await startInProcessWorker(server.url, [path], {factor: 1})
  await isConnected(server)
  const task = server.trigger(server.codebaseId(path), {prompt: `sleep 2; ${answering('hello')}`})
  expect((await ended(server, task)).status).toBe('completed')
  const steps = server.requests
    .filter(({path: at, method}) => /claim|release/.test(at) || (at.includes(task.id) && method !== 'POST'))
    .map(({method, path: at, body}) => `${method} ${at.split('/').at(-1)} ${body?.status ?? ''}`.trim())
  expect(steps.slice(0, 2).sort()).toEqual([`GET ${task.id}`, 'POST claim'])
  expect(steps.slice(2)).toEqual([
    'PUT status running',
    'POST release running',
    `GET ${task.id}`,
    'PUT status running',
    'PUT status completed',
  ])
})

test('6: without a stream tasks are taken by their status only, because a claim would be refused', async () => {
  await using server = await ReferenceServer.start({token: 'sesame'})
  await using shop = openWorkshop({A2A_AUTH_TOKEN: 'wrong'})
  const path = repository(join(shop.path, 'p'))
  const worker = shop.start(['start', '--server', server.url, '--name', 'w', '--codebase', path, '-i', '1'])
  await says(worker, /Falling back to polling: .*Invalid token/)
  const task = server.trigger(server.codebaseId(path), {prompt: 'hello'})
  expect((await ended(server, task)).status).toBe('completed')
  expect(server.calls('POST', /\/claim$/)).toEqual([])
})

test('6: a claim that is refused because the server has lost the stream leads to a new stream, and the task runs', async () => {
  await using server = await ReferenceServer.start({heartbeatMs: 20})
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path], {factor: 1})
  await isConnected(server)
  server.zombie(worker.id)
  const task = server.createSilently(server.codebaseId(path), {prompt: answering('done')})
  worker.running.intake.pollSoon()
  expect(await ended(server, task)).toMatchObject({status: 'completed', result: 'done'})
  expect(server.calls('POST', /\/claim$/).map(({status}) => status)).toEqual([409])
  await isConnected(server)
})

test('6: a task that another worker has claimed is not run, and is checked again from time to time', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path])
  await isConnected(server)
  const task = server.createSilently(server.codebaseId(path), {prompt: answering('mine')})
  server.streams.claims.set(task.id, 'another')
  const claims = () => server.calls('POST', /\/claim$/)
  await until(() => claims().length === 4, 'some tries')
  expect(server.reports(task.id)).toEqual([])
  const pauses = claims().map(({at}, i, all) => at - (all[i - 1]?.at ?? -Infinity))
  // On the worker's clock, which is a hundred times as fast.
  expect(Math.min(...pauses) * 100).toBeGreaterThan(900)
  expect(worker.log().match(/already claimed by another worker/g)?.length).toBeGreaterThan(0)
  server.streams.claims.delete(task.id)
  expect(await ended(server, task)).toMatchObject({status: 'completed', result: 'mine'})
})

test('7: running is reported twice, the second time with the session, and the final report is last, however slow the earlier ones are', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using _worker = await startInProcessWorker(server.url, [path], {factor: 1})
  await isConnected(server)
  server.odd = ({method, body}) =>
    method === 'PUT' && body?.status === 'running' && body.session_id ? {own: true, afterMs: 700} : undefined
  const task = server.trigger(server.codebaseId(path), {prompt: answering('hello')})
  await ended(server, task)
  await until(() => server.calls('PUT', /\/status$/).every(({status}) => status === 200), 'the slow answer')
  expect(
    server.reports(task.id).map(({status, session_id}) => `${status} ${session_id ? 'with' : 'without'} session`),
  ).toEqual(['running without session', 'running with session', 'completed with session'])
  expect(server.task(task.id)).toMatchObject({status: 'completed', session_id: 'ses_1'})
})

test('8: create uses the route that works, says which fields were lost, waits and shows the task', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop({A2A_SERVER_URL: 'http://127.0.0.1:9', TZ: 'Asia/Tokyo'})
  const path = repository(join(shop.path, 'p'))
  await shop.worker(server.url, 'w', [path])
  const cli = (...args: string[]) => shop.cli([...args, '--server', server.url], {cwd: path})
  const created = await cli('tasks', 'create', '@lines=2', '--title', 'Mine', '--wait')
  expect(created).toMatchObject({code: 0, stdout: 'line 0\nline 1\n'})
  expect(created.stderr).toMatch(/created without them/)
  const [task] = server.tasks.values()
  expect(task).toMatchObject({title: '@lines=2', status: 'completed'})
  const listed = await cli('tasks', 'list', '--status', 'completed')
  // The time has no zone. Read as local time it would be nine hours ago, or in the future.
  expect(listed.stdout).toMatch(new RegExp(`^${task?.id}  completed  p +- +\\d+ s .* @lines=2$`, 'm'))
  expect((await cli('tasks', 'get', task?.id ?? '')).stdout).toMatch(/session +ses_stub/)
  expect((await cli('tasks', 'output', task?.id ?? '')).stdout).toMatch(/^line 0\nline 1\nTokens/)
  const failed = await cli('tasks', 'create', '@nofinish', '--wait')
  expect(failed).toMatchObject({code: 1, stderr: expect.stringMatching(/failed: .*exited with code 0/)})
  expect(await cli('status')).toMatchObject({code: 0, stdout: expect.stringMatching(/: healthy/)})
})

test('8: output is followed once and in order, with pauses between retries of a stream that always breaks', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const path = repository(join(shop.path, 'p'))
  await shop.worker(server.url, 'w', [path])
  const task = server.trigger(server.codebaseId(path), {prompt: '@lines=3 @ms=1500'})
  await until(() => server.output(task.id).includes('line 2'), 'the output')
  const before = server.requests.length
  const shown = await shop.cli(['tasks', 'output', task.id, '--follow', '--server', server.url])
  expect(shown).toMatchObject({code: 0, stdout: expect.stringMatching(/^line 0\nline 1\nline 2\nTokens: .*\n$/)})
  expect(server.requests.slice(before).filter(({path: at}) => at.includes(task.id)).length).toBeLessThan(20)
  const late = await shop.cli(['tasks', 'output', task.id, '--raw', '--server', server.url])
  expect(late.stdout).toBe(server.output(task.id))
})

test('8: a list full of tasks of other workers does not hide our tasks', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  server.workers.set('other', {worker_id: 'other', name: 'other', last_seen: new Date()})
  const {id: foreign} = server.registerCodebase({name: 'x', path: '/srv/x', worker_id: 'other'})
  const {id} = server.registerCodebase({name: 'p', path, worker_id: 'other'})
  for (let i = 0; i < 100; i++) server.createSilently(foreign, {prompt: 'not ours'})
  const task = server.createSilently(id, {prompt: counted + answering('ours')})
  await using _worker = await startInProcessWorker(server.url, [path], {factor: 1})
  expect((await ended(server, task)).status).toBe('completed')
  expect(runs(path)).toBe(1)
})

test('9: cancel succeeds when the task says so, and the worker ends the agent when it reads that', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const path = repository(join(shop.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path])
  await isConnected(server)
  const task = server.trigger(server.codebaseId(path), {prompt: 'echo $$ > pid; exec sleep 600'})
  const pid = await until(() => readPid(join(path, 'pid')), 'the agent')
  const cancelled = await shop.cli(['tasks', 'cancel', task.id, '--server', server.url])
  expect(cancelled).toMatchObject({code: 0, stdout: expect.stringMatching(/is cancelled/)})
  await until(() => worker.running.runner.active.length === 0, 'the run to end')
  expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
  expect(server.task(task.id).status).toBe('cancelled')
  const unknown = await shop.cli(['tasks', 'cancel', 'no-such-task', '--server', server.url])
  expect(unknown).toMatchObject({code: 1, stderr: expect.stringMatching(/Task not found/)})
})

test('9: a report that crosses a cancellation does not undo it', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const {id} = server.registerCodebase({name: 'p', path: '/srv/p', worker_id: 'w'})
  const task = server.createSilently(id, {prompt: 'x'})
  task.status = 'running'
  server.odd = ({method, path}) => {
    const isSecondRead = method === 'GET' && path.endsWith(task.id) && server.reports(task.id).length === 1
    if (isSecondRead) task.status = 'running' // as if a worker had just reported it
    return undefined
  }
  expect((await shop.cli(['tasks', 'cancel', task.id, '--server', server.url])).code).toBe(0)
  expect(task.status).toBe('cancelled')
})

test('9: a task that was cancelled before its agent had a session is not reset to running', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using worker = await startInProcessWorker(server.url, [path], {factor: 1})
  await isConnected(server)
  const prompt = `touch here; while [ ! -e go ]; do sleep 0.02; done; ${printing(stepStart())} sleep 600`
  const task = server.trigger(server.codebaseId(path), {prompt})
  await until(() => existsSync(join(path, 'here')), 'the agent')
  task.status = 'cancelled'
  writeFileSync(join(path, 'go'), '')
  await until(() => worker.running.runner.active.length === 0, 'the run to end')
  expect(server.reports(task.id).map(({status}) => status)).toEqual(['running', 'cancelled'])
})

test('9: Ctrl-C with --cancel-on-interrupt cancels a task even if the cancel route has no effect', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const path = repository(join(shop.path, 'p'))
  await shop.worker(server.url, 'w', [path])
  const args = ['tasks', 'create', '@hang', '--codebase', path, '--wait', '--cancel-on-interrupt']
  const waiting = shop.start([...args, '--server', server.url])
  // Before that the worker may be about to report `running` with the session, and this server would accept it.
  await until(() => [...server.tasks.values()].some((task) => task.session_id !== null), 'the session')
  waiting.process.kill('SIGINT')
  expect((await waiting.finished).code).toBe(130)
  expect([...server.tasks.values()].map(({status}) => status)).toEqual(['cancelled'])
})

test('10: messages are posted only for sessions that the server knows', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const path = repository(join(shop.path, 'p'))
  await shop.worker(server.url, 'w', [path])
  const task = server.trigger(server.codebaseId(path), {prompt: 'hello'})
  expect(await ended(server, task)).toMatchObject({session_id: expect.stringMatching(/^ses_stub/)})
  expect(server.lostMessages).toEqual([])
})

test('broken connections and answers of a proxy lose no output and no report', async () => {
  await using server = await ReferenceServer.start()
  using scratch = scratchFolder()
  const path = repository(join(scratch.path, 'p'))
  await using _worker = await startInProcessWorker(server.url, [path])
  await isConnected(server)
  const answers = [
    {cut: true},
    {status: 404, type: 'text/plain', text: '404 page not found'},
    {text: '<html>hello</html>'},
    {type: 'application/json', text: '{"success": '},
    {status: 502, text: '<html>Bad Gateway</html>'},
  ]
  const seen = new Map<string, number>()
  server.odd = ({path: at, method, body}) => {
    const kind = `${method} ${at.split('/').at(-1)} ${body?.status}`
    const times = seen.get(kind) ?? 0
    seen.set(kind, times + 1)
    return /output|status|claim/.test(at) ? answers[times] : undefined
  }
  const lines = Array.from({length: 200}, (_, i) => text(`line ${i}`))
  const prompt = printing(stepStart(), ...lines, finish())
  const task = server.trigger(server.codebaseId(path), {prompt})
  expect((await ended(server, task)).status).toBe('completed')
  expect(server.output(task.id)).toBe(`${[stepStart(), ...lines, finish()].join('\n')}\n`)
})

function readPid(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8'))
  } catch {
    return 0
  }
}

test('8: what the existing server cannot do is said so: retry a task, forget a worker', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop({A2A_SERVER_URL: server.url})
  const path = repository(join(shop.path, 'p'))
  await shop.worker(server.url, 'w', [path])
  const task = server.trigger(server.codebaseId(path), {prompt: 'exit 1'})
  await ended(server, task)
  for (const args of [
    ['tasks', 'retry', task.id],
    ['workers', 'forget', [...server.workers.keys()][0] ?? ''],
  ]) {
    const {code, stderr} = await shop.cli(args, {cwd: path})
    expect(code).toBe(1)
    expect(stderr).toContain('this server cannot do that: it has no such route (HTTP 40')
  }
})
