import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {root} from './cli.ts'
import {freePort} from './redis.ts'
import {until} from './scratch.ts'

/**
 * A real nginx with the configuration that the documentation gives, in front of these addresses. `under`: a path like
 * `/plane/`, under which it passes requests on and sets nothing else.
 */
export async function startNginx(
  folder: string,
  urls: readonly string[],
  {under}: {under?: string} = {},
): Promise<AsyncDisposable & {url: string}> {
  const port = await freePort()
  const place = join(folder, 'nginx')
  mkdirSync(join(place, 'logs'), {recursive: true})
  let upstream = 0
  const text = readFileSync(join(root, 'deploy/nginx.conf'), 'utf8')
    .replace('listen 127.0.0.1:7420', `listen 127.0.0.1:${port}`)
    .replaceAll(/server 127\.0\.0\.1:\d+/g, () => `server ${new URL(urls[upstream++] ?? '').host}`)
    .replace(
      'http {',
      `http {\n  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${place}/${kind};`).join(' ')}`,
    )
  const placed = text.replace(/location \/ \{[^}]*\}/, `location ${under} { proxy_pass http://planes/; }`)
  writeFileSync(join(place, 'nginx.conf'), under === undefined ? text : placed)
  const args = ['-p', place, '-c', join(place, 'nginx.conf'), '-g', 'daemon off;']
  const nginx = spawn('nginx', args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {PATH: `${process.env['PATH']}:/usr/sbin`},
  })
  let errors = ''
  nginx.stderr.on('data', (chunk: Buffer) => (errors += String(chunk)))
  const url = `http://127.0.0.1:${port}${under?.replace(/\/$/, '') ?? ''}`
  const answers = () =>
    fetch(`${url}/livez`).then(
      ({ok}) => ok,
      () => false,
    )
  await until(
    async () => {
      if (nginx.exitCode !== null) throw new Error(`nginx ended: ${errors}`)
      return await answers()
    },
    () => `nginx to answer: ${errors}`,
  )
  return {
    url,
    async [Symbol.asyncDispose]() {
      if (nginx.exitCode !== null) return
      nginx.kill('SIGTERM')
      await once(nginx, 'exit')
    },
  }
}
