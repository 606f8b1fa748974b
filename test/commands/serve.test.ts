import {hostname} from 'node:os'
import {join} from 'node:path'
import {writeFileSync} from 'node:fs'
import {expect, test} from 'vitest'
import {makeCertificate} from '../support/certificate.ts'
import {stop, type Running} from '../support/cli.ts'
import {caller} from '../support/plane.ts'
import {repository, until} from '../support/scratch.ts'
import {assertRunning, openWorkshop, says, type Workshop} from '../support/workshop.ts'

async function serve(shop: Workshop, args: string[], env: Record<string, string> = {}) {
  const running = shop.start(['serve', '--port', '0', ...args], {env: {...shop.env, ...env}})
  const url = await until(() => running.stdout().trim() || assertRunning(running), 'the control plane to listen')
  return {running, url, port: new URL(url).port}
}

const guideOf = ({running}: {running: Running}) => running.stderr()

test('serve on all interfaces prints the addresses for workers and clients, and the tokens without their values', async () => {
  await using shop = openWorkshop()
  const file = join(shop.path, 'tokens')
  writeFileSync(file, 'me:secret-one\nci/client:secret-two\nbox/worker:secret-three\n', {mode: 0o600})
  const plane = await serve(shop, ['--host', '0.0.0.0', '--auth-tokens-file', file])
  await says(plane.running, 'auth_token_file')
  const guide = guideOf(plane)
  const own = `http://${hostname()}:${plane.port}`
  expect(guide).toContain(`  workers  a2a-worker start --server ${own} --codebase PATH\n`)
  expect(guide).toContain(`  clients  a2a-worker tasks create "…" --server ${own}\n`)
  expect(guide).toContain(`  tokens   me (everything), ci (client), box (worker); in ${file}\n`)
  expect(guide).not.toMatch(/secret-|only this machine/)
  expect(plane.running.stdout()).toBe(`${plane.url}\n`)
})

test('serve on loopback without tokens says that others cannot reach it, and how to create a token', async () => {
  await using shop = openWorkshop()
  const plane = await serve(shop, [])
  await says(plane.running, 'No token is required')
  expect(guideOf(plane)).toMatch(
    /others +only this machine can reach it; let others in with tokens and --host 0\.0\.0\.0\n/,
  )
  expect(guideOf(plane)).toContain(
    'echo "me:$(openssl rand -hex 24)" > tokens) && a2a-worker serve --auth-tokens-file tokens',
  )
})

test('serve names the addresses of its certificate, and a given public address first', async () => {
  await using shop = openWorkshop()
  const {cert, key} = makeCertificate(shop.path, 'plane')
  const tls = await serve(shop, ['--tls-cert', cert, '--tls-key', key])
  await says(tls.running, 'clients')
  expect(guideOf(tls)).toMatch(new RegExp(`--server https://[\\w.]+:${tls.port} --codebase`))
  const behind = await serve(shop, ['--db', join(shop.path, 'other.db'), '--public-url', 'https://plane.example/'])
  await says(behind.running, 'clients')
  expect(guideOf(behind)).toContain('a2a-worker start --server https://plane.example --codebase PATH\n')
  expect(guideOf(behind)).toContain(`also at  ${behind.url}\n`)
  expect(await shop.cli(['serve', '--public-url', 'plane.example'])).toMatchObject({code: 2})
})

test('serve logs registrations, streams and tasks at info', async () => {
  await using shop = openWorkshop()
  const plane = await serve(shop, [])
  const tree = repository(join(shop.path, 'p'))
  const worker = await shop.worker(plane.url, 'w', [tree])
  const {task, call} = caller(plane.url)
  const [{id: codebase}] = (await call('GET', '/v1/opencode/codebases')).body as [{id: string}]
  const {id} = await task(codebase, {prompt: '@lines=1', title: 'Mend it'})
  await says(plane.running, `[${id}] Task completed after`)
  await stop(worker)
  await says(plane.running, /Worker w \(.*\) disconnected/)
  const lines = plane.running.stderr()
  expect(lines).toMatch(/Z INFO +Worker w \(\S+\) registered, host \S+, version \d/)
  expect(lines).toMatch(new RegExp(`INFO +Codebase p \\(${codebase}\\) registered by w: ${tree}\n`))
  expect(lines).toMatch(/INFO +Worker w \(\S+\) connected/)
  expect(lines).toContain(`INFO  [${id}] Task created for codebase p: Mend it\n`)
  expect(lines).toContain(`INFO  [${id}] Task runs on worker w\n`)
})

test('serve --log-level warn is silent while all is well, and --log-format json writes JSON lines', async () => {
  await using shop = openWorkshop()
  const create = async ({url}: {url: string}) => {
    const {codebase, task} = caller(url)
    return (await task(await codebase('w', '/srv/p'), {title: 'Mend it'})).id
  }
  const env = {A2A_AUTH_TOKENS: ''}
  const quiet = await serve(shop, ['--log-level', 'warn', '--auth', 'off'], env)
  const loud = await serve(shop, ['--log-format', 'json', '--db', join(shop.path, 'other.db')], env)
  await create(quiet)
  const id = await create(loud)
  await says(loud.running, 'Task created')
  const entries = loud.running
    .stderr()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>)
  expect(entries).toContainEqual({
    level: 'info',
    time: expect.stringMatching(/Z$/),
    taskId: id,
    msg: 'Task created for codebase /srv/p: Mend it',
  })
  expect((await stop(quiet.running)).stderr).toMatch(/^\S+ WARN +No token is required.*\n$/)
})

test('--auth stream-only and off say at each start what they leave open to other machines', async () => {
  await using shop = openWorkshop()
  const reachable = ['--public-url', 'https://plane.example']
  const open = await serve(shop, ['--auth', 'off', ...reachable])
  await says(open.running, /WARN +No token is required, .*Whoever reaches it may read all prompts, output and sessions/)
  await stop(open.running)
  const env = {A2A_AUTH_TOKENS: 'me:a-long-enough-secret'}
  for (let i = 0; i < 2; i++) {
    const half = await serve(shop, ['--auth', 'stream-only', ...reachable], env)
    await says(
      half.running,
      /WARN +With --auth stream-only .* may read all prompts, output and sessions, create and cancel/,
    )
    await stop(half.running)
  }
  const local = await serve(shop, ['--auth', 'stream-only'], env)
  expect((await stop(local.running)).stderr).not.toContain('WARN')
  const closed = await serve(shop, reachable, env)
  expect((await stop(closed.running)).stderr).not.toContain('WARN')
})

test('the control plane of start leaves the log of tasks to the worker', async () => {
  await using shop = openWorkshop()
  const tree = repository(join(shop.path, 'p'))
  const worker = shop.start(['start'], {cwd: tree})
  await says(worker, 'Task stream connected')
  await shop.cli(['tasks', 'create', '@lines=1', '--wait'], {cwd: tree})
  const {stderr} = await stop(worker)
  expect(stderr).toMatch(/Task completed after/)
  expect(stderr).not.toMatch(/Task created for|Task runs on|registered by/)
})
