import {execFile} from 'node:child_process'
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {root, type Running} from '../support/cli.ts'
import {makeCertificate} from '../support/certificate.ts'
import {startRedis, type RedisServer} from '../support/redis.ts'
import {repository, until} from '../support/scratch.ts'
import {openWorkshop, says, type Workshop} from '../support/workshop.ts'

// CodeTether's page "Agent Worker", section by section. Its curl lines run as they are printed there: curl is told in its
// configuration where api.codetether.run is, and which token to send. Its other commands have our names.

const host = 'api.codetether.run'
const token = 'sesame-sesame'
let shop: Workshop
let redis: RedisServer
let worker: Running
let home: string
const project = () => join(shop.path, 'my-project')

beforeAll(async () => {
  shop = openWorkshop()
  home = join(shop.path, 'home')
  redis = await startRedis()
  const {cert, key} = makeCertificate(shop.path, 'plane', {subject: `DNS:${host},IP:127.0.0.1`})
  Object.assign(shop.env, {NODE_EXTRA_CA_CERTS: cert, A2A_AUTH_TOKEN: token})
  const plane = shop.start(['serve', '--port', '0', '--tls-cert', cert, '--tls-key', key, '--redis-url', redis.url], {
    env: {...shop.env, A2A_AUTH_TOKENS: `page:${token}`, OPENCODE_DB_PATH: join(shop.path, 'opencode.db')},
  })
  const url = new URL(await until(() => /https:\S+/.exec(plane.stdout())?.[0], 'the control plane'))
  const lines = [`connect-to = "${host}:443:127.0.0.1:${url.port}"`, `cacert = "${cert}"`, 'silent', 'show-error']
  writeFileSync(join(home, '.curlrc'), [...lines, `header = "Authorization: Bearer ${token}"`].join('\n'))
  mkdirSync(join(home, 'without-token'))
  writeFileSync(join(home, 'without-token/.curlrc'), lines.join('\n'))
  shop.env['A2A_SERVER_URL'] = url.href.replace(/\/$/, '')
}, 60_000)
afterAll(async () => {
  await shop[Symbol.asyncDispose]()
  await redis[Symbol.asyncDispose]()
})

/** Runs a command line of the page in a shell. */
async function shell(line: string, {hasToken = true} = {}): Promise<string> {
  const env = {PATH: process.env['PATH'], HOME: hasToken ? home : join(home, 'without-token')}
  return (await promisify(execFile)('bash', ['-c', line], {env})).stdout
}
const json = async (line: string) => JSON.parse(await shell(line))

async function startWorker(args: string[], env: Record<string, string> = {}): Promise<Running> {
  const started = shop.start(['start', ...args], {env: {...shop.env, ...env}})
  await says(started, 'Task stream connected')
  return started
}

test('Troubleshooting, “No workers available”: a registration by path is refused while there is no worker', async () => {
  expect(await json(`curl https://api.codetether.run/v1/opencode/workers`)).toEqual([])
  const wanted = `'{"name": "my-project", "path": "/home/user/my-project"}'`
  const answer = await json(
    `curl -X POST https://api.codetether.run/v1/opencode/codebases -H "Content-Type: application/json" -d ${wanted}`,
  )
  expect(answer.detail).toBe('No workers available. Start a worker on the machine with access to this path.')
})

describe('with a worker', () => {
  beforeAll(async () => {
    repository(project())
    const config = join(shop.path, 'config.json')
    // “Custom Capabilities” and “Redis”
    const capabilities = ['opencode', 'python', 'typescript', 'docker', 'kubernetes']
    const codebases = [{name: 'my-project', path: project()}]
    writeFileSync(config, JSON.stringify({redis_url: redis.url, capabilities, codebases}), {mode: 0o600})
    worker = await startWorker(['--name', 'dev-vm-worker', '--config', config, '--poll-interval', '1'])
  }, 60_000)

  const codebase = async () => {
    const all = (await json('curl https://api.codetether.run/v1/opencode/codebases')) as {id: string; name: string}[]
    return all.find(({name}) => name === 'my-project')?.id ?? ''
  }
  /** As in “Creating a Task”, with the id of our codebase. */
  const create = async (body: object) => {
    const id = await codebase()
    const {task} = await json(`curl -X POST https://api.codetether.run/v1/opencode/codebases/${id}/tasks \\
  -H "Content-Type: application/json" \\
  -d '${JSON.stringify(body)}'`)
    return task.id as string
  }
  const task = (id: string) => json(`curl https://api.codetether.run/v1/opencode/tasks/${id}`)
  const ended = (id: string) =>
    until(async () => {
      const now = await task(id)
      return ['completed', 'failed'].includes(now.status) ? now : undefined
    }, `task ${id} to end`)

  test('Headers and Custom Capabilities: the server knows codebases and capabilities from the headers of the stream', async () => {
    const {workers} = await json('curl https://api.codetether.run/v1/worker/connected')
    expect(workers).toMatchObject([
      {
        agent_name: 'dev-vm-worker',
        capabilities: ['opencode', 'python', 'typescript', 'docker', 'kubernetes'],
        codebases: expect.arrayContaining([await codebase()]),
      },
    ])
  })

  test('Reactive Execution: the worker listens to Redis, and goes on without it', async () => {
    await says(worker, /[Rr]edis|[Bb]roker/)
    await redis.stop()
    expect(await ended(await create({title: 'Without Redis', prompt: '@lines=1'}))).toMatchObject({status: 'completed'})
    await redis.start()
    expect(await ended(await create({title: 'With Redis', prompt: '@lines=1'}))).toMatchObject({status: 'completed'})
  })

  test('Task Polling: a worker gets the tasks of its codebases', async () => {
    const [{worker_id}] = await json('curl https://api.codetether.run/v1/opencode/workers')
    const id = await create({title: 'Add unit tests', prompt: '@hang'})
    await until(async () => (await task(id)).status === 'running', 'the task to run')
    const waiting = await create({title: 'Waits', prompt: '@lines=1'})
    const polled = await json(
      `curl "https://api.codetether.run/v1/opencode/tasks?status=pending&worker_id=${worker_id}"`,
    )
    expect(polled).toEqual([]) // its working tree is busy
    expect(await json('curl https://api.codetether.run/v1/opencode/tasks?status=pending')).toMatchObject([
      {id: waiting},
    ])
    await shell(`curl -X POST https://api.codetether.run/v1/opencode/tasks/${id}/cancel`)
    expect((await ended(waiting)).status).toBe('completed')
  })

  test('Creating a Task, Task Execution, Task Lifecycle: pending, running, completed or failed', async () => {
    const id = await create({
      title: 'Add authentication',
      prompt: '@lines=3',
      agent_type: 'build',
      metadata: {model: 'stub/fast'},
    })
    expect(await ended(id)).toMatchObject({status: 'completed', agent_type: 'build', metadata: {model: 'stub/fast'}})
    const {outputs} = await json(`curl https://api.codetether.run/v1/opencode/tasks/${id}/output`)
    expect(outputs.map(({output}: {output: string}) => output).join('')).toContain('line 2')
    expect((await ended(await create({title: 'Fails', prompt: '@nofinish @exit=1'}))).status).toBe('failed')
    const log = readFileSync(join(shop.path, 'agent.log'), 'utf8')
    expect(log).toContain('"--format","json","--agent","build","--model","stub/fast"')
  })

  test('Session Sync: the body of the page is accepted, and shown', async () => {
    const [{worker_id}] = await json('curl https://api.codetether.run/v1/opencode/workers')
    const id = await codebase()
    const session = {
      id: 'sess_xyz',
      title: 'Added unit tests',
      created: '2025-12-10T15:00:00Z',
      updated: '2025-12-10T15:05:00Z',
      messageCount: 12,
    }
    const body = JSON.stringify({worker_id, sessions: [session]})
    const url = `https://api.codetether.run/v1/opencode/codebases/${id}/sessions`
    expect(await json(`curl -X POST ${url}/sync -H "Content-Type: application/json" -d '${body}'`)).toMatchObject({
      success: true,
      sessions_count: 1,
    })
    expect((await json(`curl ${url}`)).sessions).toMatchObject([{id: 'sess_xyz', title: 'Added unit tests'}])
  })

  test('Resuming Sessions: a task names the session that it continues', async () => {
    const metadata = {resume_session_id: 'sess_xyz789'}
    const id = await create({title: 'Continue refactoring', prompt: '@lines=1', metadata})
    await ended(id)
    expect(await task(id)).toMatchObject({metadata})
  })

  test('Server-Side Monitoring: the answer has the fields of the page', async () => {
    const {workers} = await json('curl https://api.codetether.run/v1/monitor/workers')
    expect(workers).toMatchObject([
      {
        id: expect.any(String),
        name: 'dev-vm-worker',
        status: 'active',
        last_heartbeat: expect.stringMatching(/Z$/),
        codebases: expect.any(Number),
        tasks_completed: expect.any(Number),
      },
    ])
  })

  test('Health Checks: the process is found by name', async () => {
    expect(await shell(`pgrep -f "a2a-worker" && echo "Running" || echo "Not running"`)).toContain('Running')
  })

  test('Registration task stuck in “pending”: a worker claims it, checks the path and confirms it', async () => {
    const path = repository(join(shop.path, 'another'))
    const {task_id} = await json(
      `curl -X POST https://api.codetether.run/v1/opencode/codebases -H "Content-Type: application/json" -d '{"name": "another", "path": "${path}"}'`,
    )
    expect(await task(task_id)).toMatchObject({agent_type: 'register_codebase', codebase_id: '__pending__'})
    await says(worker, 'Handling registration task')
    expect((await ended(task_id)).status).toBe('completed')
  })

  test('Cannot Connect to Server: the status answers HEAD, without a token', async () => {
    const answer = await shell('curl -I https://api.codetether.run/v1/opencode/status', {hasToken: false})
    expect(answer).toMatch(/^HTTP\/[\d.]+ 200/)
  })

  test('Tasks Not Executing: the log of the worker has a line with “poll”', async () => {
    expect(worker.stderr()).toMatch(/Worker registered successfully/)
    expect(worker.stderr()).toMatch(/Registered codebase/)
  })

  test('OpenCode Model Selection: the models of all workers are listed', async () => {
    expect(await json('curl https://api.codetether.run/v1/opencode/models')).toHaveProperty('models')
  })

  test('Multiple Workers: each has its own configuration and codebases', async () => {
    for (const name of ['prod', 'dev']) {
      const path = repository(join(shop.path, name))
      const file = join(shop.path, `${name}.json`)
      writeFileSync(file, JSON.stringify({codebases: [{name, path}]}), {mode: 0o600})
      await startWorker(['--name', `${name}-worker`, '--config', file])
    }
    const names = (await json('curl https://api.codetether.run/v1/opencode/workers')).map(
      ({name}: {name: string}) => name,
    )
    expect(names).toEqual(expect.arrayContaining(['dev-vm-worker', 'prod-worker', 'dev-worker']))
  })

  test('OpenCode Not Found: the configuration names the program', async () => {
    const file = join(shop.path, 'not-found.json')
    const project = repository(join(shop.path, 'elsewhere'))
    mkdirSync(join(home, '.local/bin'), {recursive: true})
    writeFileSync(file, JSON.stringify({opencode_bin: join(home, '.local/bin/opencode'), codebases: [{path: project}]}))
    const env = Object.fromEntries(Object.entries(shop.env).filter(([name]) => name !== 'OPENCODE_BIN_PATH'))
    const {code, stderr} = await shop.cli(['start', '--config', file, '--name', 'blind'], {env})
    expect(code).toBe(78)
    expect(stderr).toContain(join(home, '.local/bin/opencode'))
  })
})

test('Systemd Hardening: the unit is at least as strict as the one of the page', () => {
  const unit = readFileSync(join(root, 'docs/a2a-agent-worker.service'), 'utf8')
  for (const line of ['User=a2a-worker', 'Group=a2a-worker', 'MemoryMax=2G', 'CPUQuota=200%', 'NoNewPrivileges=yes'])
    expect(unit).toContain(`\n${line}\n`)
  expect(unit).toContain('\nProtectSystem=strict\n') // the page: full
  expect(unit).toContain('\nProtectHome=tmpfs\n') // the page: read-only
  expect(unit).toMatch(/\nBindPaths=\/var\/lib\/a2a-worker\/tmp:\/tmp /) // the page: PrivateTmp
})
