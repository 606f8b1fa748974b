import {once} from 'node:events'
import {createConnection, createServer} from 'node:net'
import {join} from 'node:path'
import {watchWorker, fetchWorkerStatus} from '../../src/lib/control/socket-client.ts'
import {serveSocket, type ControlHandlers} from '../../src/lib/control/socket-server.ts'
import {ExpectedError} from '../../src/lib/core/errors.ts'
import {chunks, mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import type {Random} from '../random.ts'
import {requests, workerStatus as sample} from '../samples.ts'
import {verdictOf, check, type Target, type Verdict} from '../target.ts'

const handlers: ControlHandlers = {
  status: () => sample as ReturnType<ControlHandlers['status']>,
  drain: () => {},
  detach: () => {},
  setPaused: () => {},
  cancel: async (taskId) => {
    if (taskId.length <= 5) throw new ExpectedError('no', {code: 'NO', exit: 'failed'})
  },
  createTask: async (codebaseId) => codebaseId,
  say: async (taskId) => taskId,
  syncSessions: () => Promise.resolve([]),
  addCodebase: ({path}) =>
    path.startsWith('/') ? Promise.resolve() : Promise.reject(new ExpectedError('no', {code: 'NO', exit: 'failed'})),
  watch: () => ({[Symbol.dispose]: () => {}}),
}

/** Both ends of a worker's socket: requests of commands, and answers to commands. */
export const socket: Target = {
  name: 'socket',
  share: 50,
  async open(folder) {
    const paths = {worker: join(folder, 'w.sock'), other: join(folder, 'o.sock')}
    const worker = await serveSocket(paths.worker, handlers)
    let answer: Buffer = Buffer.alloc(0)
    const other = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(answer))
    })
    other.listen(paths.other)
    await once(other, 'listening')
    return {
      async run(random) {
        if (random.chance(0.6)) return await converse(paths.worker, random)
        answer = newAnswer(random)
        return await readAnswer(paths.other, random)
      },
      async close() {
        await worker[Symbol.asyncDispose]()
        other.close()
      },
    }
  },
}

async function converse(path: string, random: Random): Promise<Verdict> {
  const lines = Array.from({length: 1 + random.below(5)}, () => {
    const request = random.pick(requests)
    return random.chance(0.5) ? mutateJson(request, random) : JSON.stringify(request)
  })
  const bytes = Buffer.from(`${lines.join('\n')}\n`)
  const connection = createConnection(path)
  connection.on('error', () => {}) // the worker closes the connection after a line that is too long
  for (const piece of chunks(random.chance(0.5) ? mutateBytes(bytes, random) : bytes, random)) connection.write(piece)
  connection.end()
  let output = ''
  connection.setEncoding('utf8').on('data', (text: string) => (output += text))
  await once(connection, 'close')
  for (const line of output.split('\n').slice(0, -1))
    check('ok' in (JSON.parse(line) as object), 'each answer says whether it worked')
  return output.includes('{"ok":true') ? 'accepted' : 'refused'
}

function newAnswer(random: Random): Buffer {
  const answer = random.pick([
    {ok: true, value: sample},
    {ok: false, error: 'no'},
  ])
  const event = {type: 'task.activity', at: 1, taskId: 'task-1', line: 'text'}
  const lines = [random.chance(0.6) ? mutateJson(answer, random) : JSON.stringify(answer), mutateJson(event, random)]
  const bytes = Buffer.from(`${lines.join('\n')}\n`)
  return random.chance(0.3) ? mutateBytes(bytes, random) : bytes
}

const readAnswer = (path: string, random: Random): Promise<Verdict> =>
  verdictOf(() =>
    random.chance(0.5)
      ? fetchWorkerStatus(path)
      : watchWorker(path, {signal: new AbortController().signal, onStatus: () => {}, onEvent: () => {}}),
  )
