import {copyFileSync, writeFileSync} from 'node:fs'
import type {IncomingMessage} from 'node:http'
import {get, request} from 'node:https'
import {join} from 'node:path'
import {text} from 'node:stream/consumers'
import {connect, type TLSSocket} from 'node:tls'
import {once} from 'node:events'
import {expect, test} from 'vitest'
import {makeCertificate} from '../support/certificate.ts'
import {until} from '../support/scratch.ts'
import {openWorkshop, says} from '../support/workshop.ts'

/** A control plane with a certificate, and a file of tokens. */
async function startPlane() {
  const shop = openWorkshop()
  const [first, second] = ['first', 'second'].map((name) => makeCertificate(shop.path, name))
  const file = (name: string) => join(shop.path, name)
  const install = ({cert, key} = first as NonNullable<typeof first>) => {
    copyFileSync(cert, file('plane.crt'))
    copyFileSync(key, file('plane.key'))
  }
  const writeTokens = (text: string) => writeFileSync(file('tokens'), text, {mode: 0o600})
  install()
  writeTokens('# people\nme:secret1\n\nold/client:secret2\n')
  const files = ['--tls-cert', file('plane.crt'), '--tls-key', file('plane.key'), '--auth-tokens-file', file('tokens')]
  const serve = shop.start(['serve', '--port', '0', ...files])
  const url = await until(() => serve.stdout().trim(), 'the control plane to listen')
  const port = Number(new URL(url).port)
  const options = (path: string, token: string) => ({
    ...{host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false},
    headers: {authorization: `Bearer ${token}`},
  })
  return {
    ...{shop, serve, file, install, second, writeTokens},
    /** The status of a request with this token, on a connection of its own. */
    status: (token: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        get(options('/v1/opencode/tasks', token), (response) => resolve(response.resume().statusCode)).on(
          'error',
          reject,
        )
      }),
    post: async (path: string, body: unknown) => {
      const headers = {authorization: 'Bearer secret1', 'content-type': 'application/json'}
      const call = request({...options(path, 'secret1'), method: 'POST', headers}).end(JSON.stringify(body))
      const [response] = (await once(call, 'response')) as [IncomingMessage]
      expect(response.statusCode).toBe(200)
      return JSON.parse(await text(response)) as {codebase: {id: string}}
    },
    /** The name in the certificate that a new connection gets. */
    certificate: async () => {
      const socket: TLSSocket = connect({host: '127.0.0.1', port, rejectUnauthorized: false})
      await once(socket, 'secureConnect')
      const {subject} = socket.getPeerCertificate()
      socket.destroy()
      return subject.CN
    },
    /** Opens the event stream of the monitor. */
    stream: async (token: string) => {
      let all = ''
      let isOver = false
      const opened = request(options('/v1/monitor/stream', token)).end()
      const [response] = (await once(opened, 'response')) as [NodeJS.ReadableStream]
      response.on('data', (data: Buffer) => (all += data.toString())).on('close', () => (isOver = true))
      response.on('error', () => {})
      return {text: () => all, isOver: () => isOver, end: () => opened.destroy()}
    },
    hangUp: async (answer: string | RegExp) => {
      serve.process.kill('SIGHUP')
      await says(serve, answer)
    },
    [Symbol.asyncDispose]: () => shop[Symbol.asyncDispose](),
  }
}

test('SIGHUP makes serve read certificate and tokens again, and no stream is lost', async () => {
  await using plane = await startPlane()
  expect([await plane.certificate(), await plane.status('secret1'), await plane.status('secret2')]).toEqual([
    'first',
    200,
    200,
  ])
  const stream = await plane.stream('secret2')
  await until(() => stream.text() !== '', 'the stream to begin')
  plane.install(plane.second)
  plane.writeTokens('me:secret1\nnew/client:secret3\n')
  await plane.hangUp('Read again: ')
  expect(await plane.certificate()).toBe('second')
  expect([await plane.status('secret1'), await plane.status('secret2'), await plane.status('secret3')]).toEqual([
    200, 403, 200,
  ])
  await plane.post('/v1/opencode/workers/register', {worker_id: 'w', name: 'w'})
  const {codebase} = await plane.post('/v1/opencode/codebases', {name: 'p', path: '/p', worker_id: 'w'})
  await plane.post(`/v1/opencode/codebases/${codebase.id}/tasks`, {title: 'newcomer', prompt: 'p'})
  await until(() => stream.text().includes('newcomer'), 'the stream to go on')
  expect(stream.isOver()).toBe(false)
  stream.end()
})

test('a bad file at SIGHUP changes nothing, and serve says which file it is', async () => {
  await using plane = await startPlane()
  const faults: [change: () => void, message: RegExp][] = [
    [() => writeFileSync(plane.file('plane.key'), 'noise'), /plane\.key is no usable private key/],
    [() => plane.install(), /Read again/],
    [() => plane.writeTokens('# none\n'), /tokens contains no token/],
    [() => plane.writeTokens('me/king:secret9'), /tokens is bad: .*unknown scope: king/],
  ]
  for (const [change, message] of faults) {
    change()
    await plane.hangUp(message)
    expect([await plane.certificate(), await plane.status('secret1'), await plane.status('secret9')]).toEqual([
      'first',
      200,
      403,
    ])
  }

  // One good and one bad file: the good one is not used either.
  plane.install(plane.second)
  writeFileSync(plane.file('tokens'), '')
  const reports = () => plane.serve.stderr().split('The reload failed').length
  const before = reports()
  plane.serve.process.kill('SIGHUP')
  await until(() => reports() > before, 'the report')
  expect([await plane.certificate(), await plane.status('secret1')]).toEqual(['first', 200])
})

test('SIGHUP does not end a serve that has no files to read again', async () => {
  await using shop = openWorkshop()
  const serve = shop.start(['serve', '--port', '0'])
  await until(() => serve.stdout().trim(), 'the control plane to listen')
  serve.process.kill('SIGHUP')
  await says(serve, 'Nothing to read again')
  expect((await fetch(`${serve.stdout().trim()}/health`)).status).toBe(200)
})
