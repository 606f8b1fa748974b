// The floor of a control plane: the same requests, each answered after one prepared insert and a group commit, without
// rules. A task goes to the worker that named its codebase.
import {serve} from '@hono/node-server'
import {Hono, type Context} from 'hono'
import {streamSSE} from 'hono/streaming'
import {join} from 'node:path'
import {CommitGroup} from '../../src/lib/core/commit-group.ts'
import {openDatabase, walSync} from '../../src/lib/core/sqlite.ts'
import {routes} from '../../src/lib/protocol/routes.ts'

const file = join(process.argv[2] ?? '', 'bare-plane.db')
const database = await openDatabase(file, {exclusive: true})
database.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, data TEXT)')
const insert = database.prepare('INSERT INTO t (data) VALUES (?)')
const group = new CommitGroup(database, {sync: walSync(file).sync})
const streams = new Map<string, (task: object) => unknown>()
let count = 0

const store = async (c: Context, answer: (body: string) => object = () => ({})) => {
  const body = await c.req.text()
  group.write(() => insert.run(body))
  await group.durable()
  return c.json({success: true, ...answer(body)})
}

const app = new Hono()
app.get(routes.health, (c) => c.json({status: 'ok'}))
app.post(routes.registerWorker, (c) => store(c, () => ({features: ['assign']})))
app.post(routes.codebases, (c) => store(c, () => ({codebase: {id: String(++count)}})))
app.get(routes.taskStream, (c) =>
  streamSSE(c, async (stream) => {
    const send = (task: object) => stream.writeSSE({event: 'task_available', data: JSON.stringify(task)})
    for (const codebase of (c.req.header('x-codebases') ?? '').split(',')) streams.set(codebase, send)
    await stream.writeSSE({event: 'connected', data: '{}'})
    await new Promise<void>((resolve) => stream.onAbort(resolve))
  }),
)
app.post(routes.codebaseTasks, (c) =>
  store(c, (body) => {
    const task = {...(JSON.parse(body) as object), id: String(++count), status: 'assigned', attempt: 1}
    void streams.get(c.req.param('codebase') ?? '')?.(task)
    return {task}
  }),
)
app.post(routes.claim, (c) => store(c, (body) => JSON.parse(body) as object))
app.post(routes.taskOutput, (c) => store(c))
app.put(routes.taskStatus, (c) => store(c, (body) => JSON.parse(body) as object))
serve({fetch: app.fetch, port: 0, hostname: '127.0.0.1'}, ({port}) =>
  process.stdout.write(`http://127.0.0.1:${port}\n`),
)
