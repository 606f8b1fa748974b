import {spawnSync} from 'node:child_process'
import {chmodSync, existsSync, mkdirSync, statSync, truncateSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {describe, expect, test} from 'vitest'
import type {StatusReport} from '../../src/commands/status.ts'
import {answering, finish, text} from '../support/agent-lines.ts'
import {startOneWorker} from '../support/one-worker.ts'
import {caller, startPlane} from '../support/plane.ts'
import {reportSkipped} from '../support/private-systemd/private-machine.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {smallDisk, smallDiskProblem} from '../support/small-disk.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {openWorkshop, says} from '../support/workshop.ts'

const noise = 'yes "a line of noise that never ends, and goes on for a while"'
/** About 10 MB a second: what is uploaded meanwhile keeps up with it. */
const steadyNoise = `while :; do ${noise} | head -c 500000; sleep 0.05; done`

test('a task that prints forever is ended by max_output_mb, and its error says so', async () => {
  await using at = await startOneWorker({env: {A2A_MAX_OUTPUT_MB: '2'}})
  const task = await at.ended(await at.begin(steadyNoise))
  expect(task).toMatchObject({status: 'failed', error: 'the task printed more than 2 MiB (setting max_output_mb)'})
  expect((await at.ended(await at.begin(answering('next')))).status).toBe('completed')
})

test('the control plane keeps the newest output of a task up to its limit, and tells readers how much it dropped', async () => {
  await using plane = await startPlane({maxTaskOutput: 300_000})
  await using workshop = openWorkshop()
  const codebase = await plane.codebase('w', '/x')
  const {id} = await plane.task(codebase)
  await plane.claim('w', id)
  const send = async (n: number) => {
    const output = `${String(n).padEnd(49_999, 'x')}\n`
    const body = {worker_id: 'w', output, attempt: 1, offset: n * 50_000, length: 50_000}
    expect((await plane.call('POST', `/v1/opencode/tasks/${id}/output`, body)).status).toBe(200)
  }
  for (let n = 0; n < 4; n++) await send(n)
  const follower = workshop.start(['tasks', 'output', id, '--follow', '--raw', '--server', plane.url])
  await until(() => follower.stdout().length === 200_000, 'the follower to have read it')
  follower.process.kill('SIGSTOP')
  for (let n = 4; n < 20; n++) await send(n)
  const page = (await plane.call('GET', `/v1/opencode/tasks/${id}/output?since=0`)).body
  expect(page).toMatchObject({truncated: true, dropped_bytes: 700_000, total: 20})
  expect(page.outputs.map(({output}: {output: string}) => Number.parseInt(output, 10))).toEqual([
    14, 15, 16, 17, 18, 19,
  ])
  const late = workshop.start(['tasks', 'output', id, '--follow', '--raw', '--server', plane.url])
  await says(late, 'The control plane has dropped 0.6 MiB of the older output of this task.')
  await until(() => late.stdout().length === 300_000, 'the late reader to have the rest')
  follower.process.kill('SIGCONT')
  await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {status: 'completed', worker_id: 'w', attempt: 1})
  expect((await late.finished).code).toBe(0)
  expect((await follower.finished).code).toBe(0)
  expect(follower.stdout()).toMatch(/19x+\n$/)
})

describe.skipIf(reportSkipped('a control plane whose disk is full', smallDiskProblem()))(
  'a control plane whose disk is full',
  () => {
    test('drops output, tells so, creates and cancels tasks all the same, and recovers by itself', async () => {
      using disk = smallDisk(48)
      await using workshop = openWorkshop({OPENCODE_BIN_PATH: stubBinary})
      let log = ''
      await using plane = await startPlane({
        database: join(disk.path, 'server.db'),
        timings: {fullDiskMs: 6000},
        log: (line) => (log += `${line}\n`),
      })
      const {url} = plane
      const http = caller(url)
      const trees = ['p', 'q'].map((name) => repository(join(workshop.path, name)))
      await workshop.worker(url, 'one', [trees[0] ?? ''])
      await workshop.worker(url, 'two', [trees[1] ?? ''])
      const codebases = (await http.call('GET', '/v1/opencode/codebases')).body as {id: string; path: string}[]
      const idOf = (path = '') => codebases.find((codebase) => codebase.path === path)?.id ?? ''
      const culprit = (await http.task(idOf(trees[0]), {prompt: steadyNoise})).id
      await until(() => /the disk of \S+ is full: [\d.]+ MiB are free, 4.\d MiB are kept for changes/.test(log), 'it')
      expect((await http.call('GET', '/health')).body).toMatchObject({
        status: 'degraded',
        problem: expect.stringContaining('disk of the control plane is full'),
      })
      const status = await workshop.cli(['status', '--server', url, '--json'])
      expect(status.code).toBe(1)
      expect((JSON.parse(status.stdout) as StatusReport).error).toContain('the disk of the control plane is full')

      const other = await http.task(idOf(trees[1]), {prompt: answering('done')})
      await until(async () => (await http.get(other.id)).status === 'completed', 'the task of the other worker')
      const firstPage = async () => (await http.call('GET', `/v1/opencode/tasks/${culprit}/output?since=0`)).body
      const page = await until(async () => {
        const now = await firstPage()
        return now.truncated ? now : undefined
      }, 'the oldest output of the culprit to be dropped')
      expect(page.outputs.length).toBeGreaterThan(0)
      const cancelled = await workshop.cli(['tasks', 'cancel', culprit, '--wait', '--server', url])
      expect(cancelled).toMatchObject({code: 0})
      expect(await http.get(culprit)).toMatchObject({status: 'cancelled'})

      await until(async () => (await http.call('GET', '/health')).body.status === 'healthy', 'old output to be dropped')
    })

    test('refuses output for a while, but takes the report of a run with its last output', async () => {
      using disk = smallDisk(48)
      await using plane = await startPlane({database: join(disk.path, 'server.db')})
      const codebase = await plane.codebase('w', '/x')
      const {id} = await plane.task(codebase)
      await plane.claim('w', id)
      const ballast = join(disk.path, 'server.db.ballast')
      await until(() => statSync(ballast, {throwIfNoEntry: false})?.size === 4 * 1024 ** 2, 'the whole ballast')
      disk.fill(1.5 * 1024 ** 2)
      await until(async () => (await plane.call('GET', '/health')).body.status === 'degraded', 'the plane to notice')
      const piece = {output: 'x'.repeat(1000), offset: 0, length: 1000}
      const batch = {worker_id: 'w', attempt: 1, ...piece}
      expect((await plane.call('POST', `/v1/opencode/tasks/${id}/output`, batch)).status).toBe(503)
      const report = {status: 'completed', worker_id: 'w', attempt: 1, output: piece}
      expect((await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, report)).status).toBe(200)
      const page = (await plane.call('GET', `/v1/opencode/tasks/${id}/output?since=0`)).body
      expect(page).toMatchObject({total: 1, truncated: false})
    })

    test('and a worker sends the output of a short run with its report, however long output is refused', async () => {
      using disk = smallDisk(48)
      await using workshop = openWorkshop({OPENCODE_BIN_PATH: stubBinary})
      await using plane = await startPlane({database: join(disk.path, 'server.db'), timings: {fullDiskMs: 600_000}})
      const http = caller(plane.url)
      const path = repository(join(workshop.path, 'p'))
      await workshop.worker(plane.url, 'one', [path])
      const codebases = (await http.call('GET', '/v1/opencode/codebases')).body as {id: string}[]
      const ballast = join(disk.path, 'server.db.ballast')
      await until(() => statSync(ballast, {throwIfNoEntry: false})?.size === 4 * 1024 ** 2, 'the whole ballast')
      disk.fill(1.5 * 1024 ** 2)
      await until(async () => (await http.call('GET', '/health')).body.status === 'degraded', 'the plane to notice')
      // The first line is sent, and refused, before the agent exits.
      const {id} = await http.task(codebases[0]?.id ?? '', {prompt: `${answering('done')}sleep 1\n`})
      await until(async () => (await http.get(id)).status === 'completed', 'the task to be reported', 20_000)
      const page = (await http.call('GET', `/v1/opencode/tasks/${id}/output?since=0`)).body
      expect(page.outputs.map(({output}: {output: string}) => output).join('')).toContain('"step_finish"')
      expect(page).toMatchObject({truncated: false})
    })

    test('writes changes of state even if others have filled the disk: its ballast makes room', async () => {
      using disk = smallDisk(48)
      await using workshop = openWorkshop({OPENCODE_BIN_PATH: stubBinary})
      const file = join(disk.path, 'server.db')
      const plane = workshop.start(['serve', '--port', '0', '--db', file])
      const url = await until(() => plane.stdout().trim(), 'the control plane to listen')
      const http = caller(url)
      const codebase = await http.codebase('w', '/x')
      await until(() => existsSync(`${file}.ballast`), 'the ballast')
      disk.fill(100 * 1024)
      await says(plane, 'its ballast was deleted')
      expect(existsSync(`${file}.ballast`)).toBe(false)
      const {id} = await http.task(codebase)
      expect((await http.call('POST', `/v1/opencode/tasks/${id}/cancel`)).status).toBe(200)
      expect((await http.get(id)).status).toBe('cancelled')
      disk.clear()
      await says(plane, 'has space again')
      await until(() => existsSync(`${file}.ballast`), 'the ballast to be restored')
    })
  },
)

test('doctor shows the size of the database of OpenCode, without reading it', async () => {
  await using workshop = openWorkshop()
  const folder = join(workshop.path, 'home/.local/share/opencode')
  mkdirSync(folder, {recursive: true})
  writeFileSync(join(folder, 'opencode.db'), '')
  truncateSync(join(folder, 'opencode.db'), 5 * 1024 ** 3)
  const {stdout} = await workshop.cli(['doctor'])
  expect(stdout).toContain(`✓ sessions: ${folder}/opencode.db, 5120 MiB`)
})

test('window titles, colours and carriage returns around events and in lists change nothing: the task completes, the model is found', async () => {
  using scratch = scratchFolder()
  const program = join(scratch.path, 'opencode')
  writeFileSync(
    program,
    `#!/bin/sh
printf '\\033]0;OpenCode\\007'
[ "$1" = models ] && { printf '\\033[32mfake/x\\033[0m\\r\\n\\033]0;x\\007fake/small\\r\\n'; exit; }
[ "$1" = agent ] && { printf '\\033[1mreview (all)\\033[0m\\r\\n'; exit; }
exec ${stubBinary} "$@"
`,
  )
  chmodSync(program, 0o755)
  await using at = await startOneWorker({env: {OPENCODE_BIN_PATH: program}})
  const print = (line: string) =>
    `printf '\\033]0;busy\\00710%%\\r\\033[33m100%%\\033[0m\\r%s\\033[0m\\r\\n' '${line}'\n`
  const {id} = await at.http.task(at.codebase, {
    prompt: `printf '\\033[2Jwarming up\\r\\n'\n${print(text('all is well'))}${print(finish())}`,
    model: 'fake/x',
    agent_type: 'review',
  })
  expect(await at.ended(id)).toMatchObject({status: 'completed', result: 'all is well'})
  const unknown = await at.ended((await at.http.task(at.codebase, {prompt: 'true', model: 'fake/y'})).id)
  expect(unknown.error).toContain('OpenCode has no model fake/y')
  const {stdout} = await at.cli(['tasks', 'output', id])
  expect(stdout).toContain('all is well')
  expect(spawnSync('grep', ['-c', 'all is well'], {input: stdout}).stdout.toString().trim()).toBe('1')
})
