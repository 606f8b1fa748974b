import {execFileSync, spawn} from 'node:child_process'
import {existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync} from 'node:fs'
import {hostname} from 'node:os'
import {join} from 'node:path'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import type {WorkerStatus} from '../../src/lib/control/messages.ts'
import {systemClock} from '../../src/lib/core/clock.ts'
import {createCatalog} from '../../src/lib/opencode/program/catalog.ts'
import {reporterVariables} from '../../src/lib/opencode/program/reporter.ts'
import {wordsOfUser} from '../../src/lib/opencode/program/agent-user.ts'
import {removeStaleLocks} from '../../src/lib/opencode/program/stale-locks.ts'
import {answering} from '../support/agent-lines.ts'
import {requestFor, runToEnd} from '../support/agent-run.ts'
import {startOpenCodeFleet} from '../support/opencode-fleet.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {stubBinary, stubExecutor} from '../support/stub-executor.ts'

/** The real OpenCode, with a scripted model that refuses. The idle time is shorter than the waits that it asks for. */
let fleet: Awaited<ReturnType<typeof startOpenCodeFleet>>
let codebase = ''
beforeAll(async () => {
  fleet = await startOpenCodeFleet({A2A_IDLE_TIMEOUT: '4'})
  const path = repository(join(fleet.path, 'one'))
  await fleet.worker('w', [path])
  codebase = await fleet.codebaseId(path)
}, 120_000)
afterAll(() => fleet[Symbol.asyncDispose]())

const create = async (prompt: string) => (await fleet.http.task(codebase, {prompt})).id as string
const run = async (prompt: string) => fleet.ended(await create(prompt))

const tomorrow = '[fake:error status=429 retry_after=86400 say="Come back tomorrow."]'
const refused =
  /^Come back tomorrow\. \(the provider fake is asked again at \d{4}-\d\d-\d\dT[\d:]+Z; max_provider_wait is 900 s\)$/

test('a provider that asks for a day ends the task at once, with its own words', async () => {
  const startedAt = performance.now()
  expect(await run(tomorrow)).toMatchObject({status: 'failed', error: expect.stringMatching(refused)})
  expect(performance.now() - startedAt).toBeLessThan(25_000)
})

/** The worker starts no task of a provider after two refusals in a row, so each refusal here is followed by an answer. */
const waitsFor = async (status: number) => {
  const id = await create(
    `[fake:bash cmd="echo hi"] [fake:error status=${status} retry_after=8 times=1 say="Slow down."]`,
  )
  const waiting = await until(async () => {
    const task = await fleet.http.get(id)
    return task.status === 'running' && task.waiting
  }, 'the task to wait')
  expect(waiting).toMatch(/^the provider fake is asked again at \S+Z: Slow down\.$/)
  const {stdout} = await fleet.cli(['status', '--json'])
  const [worker] = (JSON.parse(stdout) as {local: WorkerStatus[]}).local
  expect(worker?.tasks).toMatchObject([{id, phase: 'running', waiting}])
  expect((await fleet.cli(['status'])).stdout).toContain('Slow down.')
  expect(await fleet.ended(id)).toMatchObject({status: 'completed', result: 'Done.', waiting: null})
}

test('a wait after a 429 is honoured and shown in the status and in the task, and the task completes', () =>
  waitsFor(429))

test('a provider that asks for a day after a tool call ends the task at once too', async () => {
  const task = await run(`[fake:bash cmd="echo hi"] ${tomorrow}`)
  expect(task).toMatchObject({status: 'failed', error: expect.stringMatching(refused)})
})

test('a wait after a 503 is honoured and shown in the status and in the task, and the task completes', () =>
  waitsFor(503))

test('a key that the provider refuses ends the task with the words of the provider', async () => {
  const task = await run('[fake:error status=401 say="Incorrect API key."]')
  expect(task).toMatchObject({status: 'failed', error: 'Incorrect API key.'})
})

describe('a model that is checked while `opencode models` is slow', () => {
  /** A program whose first list of models does not come in time, and whose second one may not either. */
  const slowFor = (folder: string, times: number) => {
    const binary = join(folder, 'opencode')
    const count = `echo x >> ${folder}/asked; test $(wc -l < ${folder}/asked) -le ${times} && exec sleep 295`
    writeFileSync(binary, `#!/bin/sh\n[ "$1" = models ] && { ${count}; }\nexec ${stubBinary} "$@"\n`, {mode: 0o755})
    const env = {PATH: process.env['PATH'], HOME: folder}
    const catalog = createCatalog({binary, env: () => env, clock: systemClock, scratchDir: folder, timeoutMs: 500})
    return stubExecutor(folder, {catalog})
  }
  const check = async (times: number, model: string) => {
    using scratch = scratchFolder()
    const notices: string[] = []
    const request = requestFor(scratch.path, answering('ok'), {model, onNotice: (text) => notices.push(text)})
    const result = await runToEnd(slowFor(scratch.path, times), request).then(
      ({outcome}) => outcome.status,
      (error: unknown) => String(error),
    )
    return {result, notices}
  }

  test('is reported and checked again before the run', async () => {
    const once = 'OpenCode did not list its models in time, so the model fake/y could not be checked; asking once more'
    expect(await check(1, 'fake/y')).toEqual({
      result: expect.stringContaining('OpenCode has no model fake/y'),
      notices: [once],
    })
    const {result, notices} = await check(2, 'fake/y')
    expect(result).toBe('completed')
    expect(notices).toEqual([once, expect.stringContaining('the task begins, though the model fake/y may not exist')])
  })
})

describe('our plugin for OpenCode', () => {
  test('is loaded only where OpenCode would not wait for the network because of it, beside the plugins of the user', () => {
    using scratch = scratchFolder()
    const cwd = repository(join(scratch.path, 'one'))
    const variables = (more: Record<string, string> = {}) =>
      reporterVariables({
        env: {HOME: scratch.path, ...more},
        cwd,
        plugin: '/s/reporter.mjs',
        report: '/r/report.ndjson',
      })
    expect(variables()).toEqual({})
    mkdirSync(join(scratch.path, '.config/opencode/node_modules/@opencode-ai/plugin'), {recursive: true})
    expect(variables()).toEqual({
      A2A_REPORT: '/r/report.ndjson',
      OPENCODE_CONFIG_CONTENT: '{"plugin":["file:///s/reporter.mjs"]}',
    })
    const content = '{"model":"a/b","plugin":["theirs"]}'
    expect(variables({OPENCODE_CONFIG_CONTENT: content})).toMatchObject({
      OPENCODE_CONFIG_CONTENT: '{"model":"a/b","plugin":["theirs","file:///s/reporter.mjs"]}',
    })
    expect(variables({OPENCODE_CONFIG_CONTENT: '{/* a comment */}'})).toEqual({})
    expect(variables({OPENCODE_PURE: '1'})).toEqual({})
    mkdirSync(join(cwd, '.opencode'))
    expect(variables()).toEqual({})
    expect(variables({npm_config_offline: 'true'})).toHaveProperty('A2A_REPORT')
  })

  test('does not wait for a lock that an ended OpenCode has left', () => {
    using scratch = scratchFolder()
    const lock = (name: string, meta?: object) => {
      const path = join(scratch.path, `${name}.lock`)
      mkdirSync(path)
      if (meta) writeFileSync(join(path, 'meta.json'), JSON.stringify(meta))
      return path
    }
    const dead = lock('dead', {pid: 2 ** 22 + 1, hostname: hostname()})
    const live = lock('live', {pid: process.pid, hostname: hostname()})
    const other = lock('other', {pid: 2 ** 22 + 1, hostname: 'another-host'})
    // OpenCode was killed after it had made the folder, and before it wrote into it.
    const [unnamed, justMade] = [lock('unnamed'), lock('just-made')]
    const past = new Date(Date.now() - 20_000)
    utimesSync(unnamed, past, past)
    removeStaleLocks({folder: scratch.path})
    expect([dead, unnamed, live, other, justMade].map((path) => existsSync(path))).toEqual([
      ...[false, false],
      ...[true, true, true],
    ])
    removeStaleLocks({folder: join(scratch.path, 'missing')})
  })

  test.skipIf(process.getuid?.() !== 0)('does not wait for such a lock of the user of its agents either', () => {
    using scratch = scratchFolder()
    const nobody = {name: 'nobody', uid: 65534, gid: 65534, home: '/', shell: '/bin/sh'}
    const [program = '', ...words] = [...wordsOfUser(nobody), 'sleep', '300']
    const child = spawn(program, words, {cwd: '/', stdio: 'ignore'})
    try {
      const folder = join(scratch.path, 'locks')
      for (const [name, pid, host] of [
        ['dead', 2 ** 22 + 1, hostname()],
        ['live', child.pid, hostname()],
        ['other', 2 ** 22 + 1, 'another-host'],
      ] as const) {
        mkdirSync(join(folder, `${name}.lock`), {recursive: true})
        const meta = {token: 't', pid, hostname: host, createdAt: '2026-01-01T00:00:00.000Z'}
        writeFileSync(join(folder, `${name}.lock/meta.json`), JSON.stringify(meta))
      }
      execFileSync('chown', ['-R', 'nobody', scratch.path])
      execFileSync('chmod', ['700', folder])
      removeStaleLocks({folder, user: nobody})
      expect(readdirSync(folder)).toEqual(['live.lock', 'other.lock'])
      removeStaleLocks({folder: join(scratch.path, 'missing'), user: nobody})
    } finally {
      child.kill('SIGKILL')
    }
  })
})
