import {statSync} from 'node:fs'
import {writeFile} from 'node:fs/promises'
import {DatabaseSync} from 'node:sqlite'
import {expect, test} from 'vitest'
import {startControlPlane} from '../../src/lib/server/control-plane.ts'
import {Api} from './support/api.ts'
import {openStream} from './support/events.ts'
import {scratch, startPlane, until} from './support/plane.ts'
import {runScript} from './support/process.ts'

const portOf = (url: string) => new URL(url).port

test('kill -9 during writes loses no acknowledged write', async () => {
  await using folder = await scratch()
  const file = folder.file('plane.db')
  await using plane = await runScript('plane-process.ts', [file])
  const api = new Api(plane.line)
  await api.registerOwn('w', {max_concurrent_tasks: 50})
  const held = await api.create('global')
  await api.claim(held.id, 'w')

  const created: string[] = []
  let acknowledged = 0
  const creators = Array.from({length: 8}, async () => {
    for (;;) created.push((await api.create('global')).id)
  })
  const sender = (async () => {
    for (let offset = 0; ; offset += 4)
      acknowledged = (await api.output(held.id, 'w', 'abcd', {attempt: 1, offset, length: 4})).body.next
  })()
  const writers = Promise.allSettled([...creators, sender])
  await until(() => created.length > 150 && acknowledged > 100)
  expect(await plane.end('SIGKILL')).toBe('SIGKILL')
  await writers

  const database = new DatabaseSync(file)
  expect(database.prepare('PRAGMA integrity_check').get()).toEqual({integrity_check: 'ok'})
  database.close()
  await using again = await startPlane({database: file})
  const stored = new Api(again.url)
  for (const id of created) expect((await stored.get('task', {task: id})).status).toBe(200)
  const {outputs} = (await stored.get('taskOutput', {task: held.id})).body
  const text: string = outputs.map(({output}: {output: string}) => output).join('')
  expect(text.length).toBeGreaterThanOrEqual(acknowledged)
  expect(text).toMatch(/^(abcd)*$/)
})

test('after a restart, running tasks have fresh leases, and waiting tasks are offered', async () => {
  await using folder = await scratch()
  const file = folder.file('plane.db')
  await using first = await runScript('plane-process.ts', [file], {LEASE_MS: '600'})
  const before = new Api(first.line)
  await before.registerOwn('w', {max_concurrent_tasks: 5})
  const [a, b] = [await before.codebase('w', '/a'), await before.codebase('w', '/b')]
  const [running, forgotten] = [await before.create(a), await before.create(b)]
  for (const {id} of [running, forgotten]) await before.claim(id, 'w')
  await before.heartbeat('w', [running, forgotten])
  const waiting = await before.create('global')
  await first.end('SIGKILL')

  await using second = await runScript('plane-process.ts', [file, portOf(first.line)], {LEASE_MS: '600'})
  const after = new Api(second.line)
  expect(await after.task(running.id)).toMatchObject({status: 'running', worker_id: 'w', attempt: 1, lost_since: null})
  expect((await after.claim((await after.create(a)).id, 'w')).body.detail).toContain('busy')
  await using stream = await openStream(after, 'w')
  await stream.pushed(waiting.id)

  await after.heartbeat('w', [running]) // may have been written before a claim that the earlier process answered
  expect((await after.task(forgotten.id)).status).toBe('running')
  await after.heartbeat('w', [running])
  expect(await after.task(forgotten.id)).toMatchObject({status: 'pending', attempt: 2})
  expect((await after.output(running.id, 'w', 'on', {attempt: 1, offset: 0, length: 2})).status).toBe(200)
  await until(async () => (await after.task(running.id)).lost_since)
})

test('a second control plane on the same database is refused until the first has ended', async () => {
  await using folder = await scratch()
  const options = {host: '127.0.0.1', port: 0, database: folder.file('deep/plane.db'), exclusive: true}
  const first = await startControlPlane(options)
  await expect(startControlPlane(options)).rejects.toMatchObject({code: 'DATABASE_LOCKED', exitCode: 75})
  await first.close()
  await using second = await startControlPlane(options)
  expect(second.port).toBeGreaterThan(0)
})

test('a control plane that cannot start says why and how to fix it, and exits with a code for the reason', async () => {
  await using folder = await scratch()
  const start = (options: object) =>
    startControlPlane({host: '127.0.0.1', port: 0, database: ':memory:', ...options}).then((plane) => plane.close())
  await using plane = await startPlane()
  await expect(start({port: plane.port})).rejects.toMatchObject({code: 'PORT_IN_USE', exitCode: 75})

  await writeFile(folder.file('noise'), 'this is no database. '.repeat(500))
  await expect(start({database: folder.file('noise')})).rejects.toMatchObject({code: 'DATABASE_CORRUPT', exitCode: 78})
  await expect(start({database: folder.file('noise/x.db')})).rejects.toMatchObject({exitCode: 73})
  await expect(start({database: folder.path})).rejects.toMatchObject({code: 'DATABASE_UNWRITABLE', exitCode: 73})

  const tokens = [{name: 'a', scope: 'admin', token: 't'}]
  await expect(start({host: '0.0.0.0'})).rejects.toMatchObject({
    exitCode: 78,
    message: expect.stringContaining('0.0.0.0'),
  })
  await expect(start({host: '0.0.0.0', tokens, auth: 'off'})).rejects.toMatchObject({exitCode: 78})
  await expect(start({auth: 'required'})).rejects.toMatchObject({exitCode: 78})
  await expect(start({host: '203.0.113.1', tokens})).rejects.toMatchObject({exitCode: 78})
  await start({host: '0.0.0.0', tokens})
})

test('a newer schema is refused', async () => {
  await using folder = await scratch()
  const file = folder.file('plane.db')
  const database = new DatabaseSync(file)
  database.exec('PRAGMA user_version = 99')
  database.close()
  await expect(startPlane({database: file})).rejects.toThrow('newer version')
})

test('close ends open streams and requests within a second', async () => {
  const plane = await startPlane()
  const api = new Api(plane.url)
  await using stream = await openStream(api, 'w')
  const start = Date.now()
  await plane.close()
  expect(Date.now() - start).toBeLessThan(1000)
  await until(() => stream.isEnded)
})

test('serve prints its address, and exits with code 0 on a signal', async () => {
  await using folder = await scratch()
  const env = {A2A_STATE_DIR: folder.path, A2A_AUTH_TOKENS: 'me:secret-that-nobody-guesses'}
  await using serve = await runScript('serve-process.ts', ['--port', '0'], env)
  expect(serve.line).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  expect((await new Api(serve.line).get('health')).body.status).toBe('healthy')
  expect((await new Api(serve.line).get('workers')).status).toBe(401)
  expect((await new Api(serve.line, 'secret-that-nobody-guesses').get('workers')).body).toEqual([])
  expect(await serve.end('SIGTERM')).toBe(0)
  expect(serve.stderr()).not.toMatch(/WARN|ERROR/)
})

test('heartbeats alone write nothing to disk, and a clean stop keeps when a worker was seen last', async () => {
  await using folder = await scratch()
  const database = folder.file('plane.db')
  const first = await startPlane({database})
  const api = new Api(first.url)
  await api.registerOwn('w')
  const {id} = await api.create('global')
  await api.claim(id, 'w')
  const written = () => statSync(`${database}-wal`)
  const before = written()
  for (let i = 0; i < 50; i++) expect((await api.heartbeat('w', [{id, attempt: 1}])).status).toBe(200)
  expect([written().size, written().mtimeMs]).toEqual([before.size, before.mtimeMs])
  const seen = (await api.get('worker', {worker: 'w'})).body.last_seen
  await first.close()
  await using again = await startPlane({database})
  expect((await new Api(again.url).get('worker', {worker: 'w'})).body.last_seen).toBe(seen)
})
