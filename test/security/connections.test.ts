import {once} from 'node:events'
import {readdirSync, readFileSync} from 'node:fs'
import {connect, type Socket} from 'node:net'
import {join} from 'node:path'
import {connect as connectSecurely} from 'node:tls'
import {expect, test} from 'vitest'
import {makeCertificate} from '../support/certificate.ts'
import {environment, start, stop} from '../support/cli.ts'
import {scratchFolder, until} from '../support/scratch.ts'

const files = 160

/** `serve` in a process that may open few files, with plain HTTP or HTTPS. */
async function serveWithFewFiles(scheme: 'http' | 'https') {
  const scratch = scratchFolder()
  makeCertificate(scratch.path, 'plane')
  const [cert, key] = ['plane.crt', 'plane.key'].map((name) => join(scratch.path, name)) as [string, string]
  const tls = scheme === 'https' ? ['--tls-cert', cert, '--tls-key', key] : []
  const running = start(['serve', '--port', '0', ...tls], {
    cwd: scratch.path,
    env: environment(scratch.path, {A2A_AUTH_TOKENS: 'me:right-token-of-me'}),
    by: ['prlimit', `--nofile=${files}:${files}`],
  })
  const url = await until(
    () => running.stdout().trim(),
    () => `the control plane: ${running.stderr()}`,
  )
  const port = Number(new URL(url).port)
  const sockets = new Set<Socket>()
  const open = async () => {
    const socket =
      scheme === 'https'
        ? connectSecurely({port, host: '127.0.0.1', ca: readFileSync(cert)})
        : connect(port, '127.0.0.1')
    sockets.add(socket)
    socket.on('error', () => {})
    await Promise.race([once(socket, scheme === 'https' ? 'secureConnect' : 'connect'), once(socket, 'close')]).catch(
      () => {},
    )
    return socket
  }
  return {
    running,
    open,
    /** Sends a request on a connection of its own. Resolves with the head of the answer; empty if there is none. */
    async ask(path: string): Promise<string> {
      const socket = await open()
      let text = ''
      socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
      socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer right-token-of-me\r\n\r\n`)
      const closed = once(socket, 'close').catch(() => {})
      while (!text.includes('\r\n\r\n') && !socket.destroyed)
        await Promise.race([once(socket, 'data').catch(() => {}), closed])
      return text
    },
    openFiles: () => readdirSync(`/proc/${running.process.pid}/fd`).length,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await stop(running, 'SIGKILL')
      scratch[Symbol.dispose]()
    },
  }
}

test.each(['http', 'https'] as const)(
  'connections without a request, more than the process may open files, keep nobody out: %s',
  async (scheme) => {
    await using plane = await serveWithFewFiles(scheme)
    await Promise.all(Array.from({length: 4 * files}, plane.open))
    for (let i = 0; i < 20; i++) {
      await plane.open()
      expect(await plane.ask('/v1/opencode/tasks')).toMatch(/^HTTP\/1.1 200 /)
      expect(await plane.ask('/health')).toMatch(/^HTTP\/1.1 200 /)
    }
    expect(plane.openFiles()).toBeLessThan(files - 10)
    expect(plane.running.process.exitCode).toBeNull()
  },
)

test.each(['http', 'https'] as const)(
  'beyond the limit of connections only the health checks are answered, and the rest gets 503 with Retry-After: %s',
  async (scheme) => {
    await using plane = await serveWithFewFiles(scheme)
    const streams: string[] = []
    for (let i = 0; i < files; i++) streams.push(await plane.ask('/v1/monitor/stream'))
    const opened = streams.filter((head) => head.startsWith('HTTP/1.1 200 ')).length
    expect(opened).toBeGreaterThan(files / 2)
    expect(opened).toBeLessThan(files - 48)
    const began = performance.now()
    for (const path of ['/v1/opencode/tasks', '/v1/monitor/stream', '/v1/opencode/status']) {
      const refused = await plane.ask(path)
      expect(refused).toMatch(/^HTTP\/1.1 503 /)
      expect(refused).toMatch(/retry-after: 5\r\n/i)
    }
    for (const path of ['/health', '/livez', '/readyz']) expect(await plane.ask(path)).toMatch(/^HTTP\/1.1 200 /)
    expect(performance.now() - began).toBeLessThan(2000)
    expect(plane.running.stderr()).not.toMatch(/EMFILE|bug/)
    expect(plane.openFiles()).toBeLessThan(files - 10)
  },
)
