// The floor of an acknowledged write: a POST between two bare Node processes that commits one row to SQLite before the
// answer.
import {fork} from 'node:child_process'
import {once} from 'node:events'
import http from 'node:http'
import {join} from 'node:path'

if (process.argv[2] === 'server') await serve(process.argv[3] ?? '')

async function serve(file: string): Promise<void> {
  const {DatabaseSync} = await import('node:sqlite')
  const database = new DatabaseSync(file)
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (data TEXT)')
  const insert = database.prepare('INSERT INTO t VALUES (?)')
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += String(chunk)))
    request.on('end', () => {
      insert.run(body)
      response.setHeader('content-type', 'application/json')
      response.end('{"success":true}')
    })
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as {port: number}).port))
}

export async function startCommitFloor(folder: string) {
  const child = fork(import.meta.filename, ['server', join(folder, 'floor.db')])
  const [port] = (await once(child, 'message')) as [number]
  const agent = new http.Agent({keepAlive: true})
  const post = (body: string | Buffer) =>
    new Promise<void>((resolve, reject) => {
      const options = {host: '127.0.0.1', port, path: '/', method: 'POST', agent}
      const request = http.request(options, (response) => response.resume().on('end', resolve))
      request.on('error', reject).end(body)
    })
  return {
    url: `http://127.0.0.1:${port}`,
    post,
    /** The time of one such POST, in ms. */
    async postAndCommit(): Promise<number> {
      const begun = performance.now()
      await post(JSON.stringify({status: 'completed', result: 'x'.repeat(200)}))
      return performance.now() - begun
    },
    async [Symbol.asyncDispose]() {
      agent.destroy()
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}
