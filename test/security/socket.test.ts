import {spawnSync} from 'node:child_process'
import {once} from 'node:events'
import {chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync} from 'node:fs'
import {createServer} from 'node:net'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {shortFolder} from '../../src/lib/control/short-folder.ts'
import {socketPath} from '../../src/lib/control/socket-path.ts'
import {root} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, until} from '../support/scratch.ts'
import {asStranger, strangerUid} from '../support/stranger.ts'

const isRoot = process.getuid?.() === 0
const folder = shortFolder(strangerUid)

/** What the user of the worker does: serves the socket and asks it, or only asks. Prints `ok` or the code of the error. */
const program = `
const [serve, path] = process.argv.slice(2)
const {serveSocket} = await import('${root}/dist/lib/control/socket-server.js')
const {sendRequest} = await import('${root}/dist/lib/control/socket-client.js')
try {
  const server = serve === 'serve' ? await serveSocket(path, {drain() {}}) : undefined
  console.log((await sendRequest(path, {op: 'drain'}))?.value === undefined ? 'ok' : 'odd')
  await server?.[Symbol.asyncDispose]()
} catch (error) {
  console.log(error.code)
}
`

/** A worker of another user, whose state directory has such a long path that its socket is in /tmp. */
function victim() {
  const path = mkdtempSync(join(tmpdir(), 'a2a-test-'))
  const clean = () => [path, folder].forEach((each) => rmSync(each, {recursive: true, force: true}))
  rmSync(folder, {recursive: true, force: true})
  onTestFinished(clean)
  const stateDir = join(path, 'long'.repeat(30))
  const script = join(path, 'program.mjs')
  mkdirSync(stateDir)
  writeFileSync(script, program)
  chownSync(stateDir, strangerUid, strangerUid)
  chmodSync(path, 0o755)
  const socket = socketPath({}, stateDir, 'w')
  const run = (what: 'serve' | 'ask') => {
    const [command = '', ...args] = [...asStranger(), process.execPath, script, what, socket]
    const {stdout, stderr} = spawnSync(command, args, {encoding: 'utf8', cwd: '/'})
    return stdout.trim() || stderr
  }
  return {path, socket, run}
}

/** Somebody else's socket at the path of the worker's. Everybody may connect. */
async function impostor(socket: string) {
  let visitors = 0
  const server = createServer((connection) => {
    visitors += 1
    connection.end('{"ok":true}\n')
  })
  server.listen(socket)
  await once(server, 'listening')
  chmodSync(socket, 0o777)
  onTestFinished(() => void server.close())
  return () => visitors
}

test.skipIf(!isRoot)('a socket that finds no room elsewhere is in a folder of its user alone', () => {
  const {socket, run} = victim()
  expect(socket).toMatch(new RegExp(`^${folder}/a2a-worker-[0-9a-f]{16}\\.sock$`))
  expect(run('serve')).toBe('ok')
  expect([statSync(folder).uid, statSync(folder).mode & 0o777]).toEqual([strangerUid, 0o700])
  expect(run('ask')).toBe('ok') // nobody listens any more
})

test.skipIf(!isRoot)('whoever takes that folder first gets neither the socket nor a request of a client', async () => {
  const {socket, run} = victim()
  mkdirSync(folder)
  chmodSync(folder, 0o777)
  const visitors = await impostor(socket)
  expect([run('serve'), run('ask'), visitors()]).toEqual(['SOCKET_TAKEN', 'SOCKET_TAKEN', 0])
})

test.skipIf(!isRoot)('a link in place of that folder is not followed, also not to a folder of the user', async () => {
  const {path, socket, run} = victim()
  const target = join(path, 'target')
  mkdirSync(target, {mode: 0o700})
  symlinkSync(target, folder)
  const visitors = await impostor(socket)
  chownSync(target, strangerUid, strangerUid)
  expect([run('serve'), run('ask'), visitors()]).toEqual(['SOCKET_TAKEN', 'SOCKET_TAKEN', 0])
})

test.skipIf(!isRoot)(
  'a folder of the user that others may use is closed by the worker, and not used by clients before',
  () => {
    const {run} = victim()
    mkdirSync(folder)
    chmodSync(folder, 0o777)
    chownSync(folder, strangerUid, strangerUid)
    expect(run('ask')).toBe('SOCKET_TAKEN')
    expect(run('serve')).toBe('ok')
    expect(statSync(folder).mode & 0o777).toBe(0o700)
  },
)

test('a runtime directory in which others may write, or of somebody else, is not used', () => {
  const path = mkdtempSync(join(tmpdir(), 'a2a-test-'))
  onTestFinished(() => rmSync(path, {recursive: true}))
  const at = () => socketPath({XDG_RUNTIME_DIR: path}, '/state', 'w')
  expect(at()).toBe(join(path, 'a2a-worker/w.sock'))
  chmodSync(path, 0o777)
  expect(at()).toBe('/state/workers/w/worker.sock')
  chmodSync(path, 0o700)
  if (!isRoot) return
  chownSync(path, strangerUid, strangerUid)
  expect(at()).toBe('/state/workers/w/worker.sock')
})

test.skipIf(!isRoot)('a worker whose socket folder is taken says so, and works', async () => {
  const uid = process.getuid?.() ?? 0
  const own = shortFolder(uid)
  await using fleet = await startFleet()
  onTestFinished(() => rmSync(own, {recursive: true, force: true}))
  mkdirSync(own, {recursive: true})
  chownSync(own, strangerUid, strangerUid)
  const tree = repository(join(fleet.path, 'p'))
  const stateDir = join(fleet.path, 'long'.repeat(30))
  const env = {...fleet.env, A2A_STATE_DIR: stateDir}
  const worker = fleet.startAs(['start', '--name', 'w', '--codebase', tree], {env})
  await until(() => worker.stderr().includes('no local socket'), 'the warning')
  expect(worker.stderr()).toContain(`${own} of the local socket is not used: it belongs to uid ${strangerUid}`)
  const codebase = await until(() => fleet.codebaseId(tree), 'the codebase')
  const task = await fleet.http.task(codebase, {prompt: '@lines=1'})
  expect((await fleet.ended(task.id)).status).toBe('completed')
})
