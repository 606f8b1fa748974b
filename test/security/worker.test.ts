import {createServer, request} from 'node:http'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {agentDatabase} from '../support/agent-storage.ts'
import {stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'

/** Passes requests on, and remembers how each was answered. */
async function startRecorder(target: string) {
  const answers: string[] = []
  const server = createServer((incoming, outgoing) => {
    const {method = '', url = '', headers} = incoming
    const onward = request(target + url, {method, headers}, (answer) => {
      answers.push(`${method} ${url.replace(/\?.*/, '')} ${answer.statusCode}`)
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => onward.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

test("a worker with a token of its own is refused nothing in a task's life: stream, poll, claim, output, cancel, sessions, restart", async () => {
  await using at = await startFleet({
    tokens: [
      {name: 'admin', scope: 'admin', token: 'admin'},
      {name: 'one', scope: 'worker', token: 'one'},
      {name: 'two', scope: 'worker', token: 'two'},
    ],
    env: {A2A_AUTH_TOKEN: 'one', A2A_GLOBAL_CODEBASE: ''},
  })
  await using recorder = await startRecorder(at.url)
  const [path, other] = [repository(join(at.path, 'code')), repository(join(at.path, 'other'))]
  using agent = agentDatabase(join(at.path, 'home/.local/share/opencode/opencode.db'))
  agent.session({id: 'ses_1', directory: path, updated: 1})
  agent.message({id: 'msg_1', session: 'ses_1', created: 1})
  const worker = await at.workerAt(recorder.url, 'w', [path], ['--poll-interval', '1'])
  const beside = {...at.env, A2A_AUTH_TOKEN: 'two', A2A_GLOBAL_CODEBASE: 'none', A2A_STATE_DIR: join(at.path, 'second')}
  at.startAs(['start', '--name', 'v', '--codebase', other], {env: beside})
  const foreign = await until(() => at.codebaseId(other), 'the other worker')
  const own = await at.codebaseId(path)

  const done = await at.http.task(own, {prompt: '@lines=500'})
  expect(await at.ended(done.id)).toMatchObject({status: 'completed', attempt: 1})
  expect(await at.output(done.id)).toContain('line 499')
  const theirs = await at.http.task(foreign, {prompt: '@lines=2'})
  expect(await at.ended(theirs.id)).toMatchObject({status: 'completed'})

  const endless = await at.http.task(own, {prompt: '@hang'})
  await until(async () => (await at.http.get(endless.id)).status === 'running', 'the run')
  await until(async () => (await at.output(endless.id)).includes('line 0'), 'its output')
  await at.http.call('POST', `/v1/opencode/tasks/${endless.id}/cancel`)
  expect(await at.ended(endless.id)).toMatchObject({status: 'cancelled'})

  const sessions = `/v1/opencode/codebases/${own}/sessions`
  await until(async () => (await at.http.call('GET', sessions)).body.sessions.length > 0, 'the session')
  const messages = `${sessions}/ses_1/messages`
  await until(async () => (await at.http.call('GET', messages)).body.messages.length > 0, 'the message')

  const shared = await at.http.task('global', {prompt: '@lines=1'})
  expect(await at.ended(shared.id)).toMatchObject({status: 'completed'})

  const cli = (args: string[]) => at.run(args, {env: at.env})
  expect((await cli(['tasks', 'list', '--json', '--status', 'completed'])).stdout).not.toContain(theirs.id)
  expect((await cli(['tasks', 'get', done.id])).code).toBe(0)
  expect((await cli(['tasks', 'get', theirs.id])).stderr).toContain('another worker')
  expect((await cli(['tasks', 'cancel', theirs.id])).code).not.toBe(0)
  await stop(worker)
  const again = await at.workerAt(recorder.url, 'w', [path])
  expect(await at.ended((await at.http.task(own, {prompt: '@lines=1'})).id)).toMatchObject({status: 'completed'})
  await stop(again)

  expect(recorder.answers.filter((answer) => !answer.endsWith(' 200'))).toEqual([])
  const asked = (what: string) => recorder.answers.some((answer) => answer.startsWith(what))
  for (const what of ['GET /v1/opencode/tasks ', 'GET /v1/worker/tasks/stream', 'POST /v1/worker/tasks/claim'])
    expect(asked(what), what).toBe(true)
  for (const running of [worker, again]) expect(running.stderr()).not.toMatch(/ (WARN|ERROR) .*(refused|token|40\d)/)
})
