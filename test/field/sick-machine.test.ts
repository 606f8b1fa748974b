import {spawnSync} from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import {join} from 'node:path'
import {describe, expect, test} from 'vitest'
import type {StatusReport} from '../../src/commands/status.ts'
import {probeOpenCode} from '../../src/lib/opencode/program/probe.ts'
import {answering, printing} from '../support/agent-lines.ts'
import {startFleet} from '../support/fleet.ts'
import {startInProcessWorker} from '../support/in-process-worker.ts'
import {startOneWorker} from '../support/one-worker.ts'
import {startPlane} from '../support/plane.ts'
import {reportSkipped} from '../support/private-systemd/private-machine.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {smallDisk, smallDiskProblem} from '../support/small-disk.ts'
import {asStranger, strangerUid} from '../support/stranger.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {openWorkshop, says} from '../support/workshop.ts'

/** A worker with one slot whose agent's program is a file of the test, and 20 tasks behind one that runs. */
async function startWithQueue({program}: {program: string}) {
  const at = await startOneWorker({env: {OPENCODE_BIN_PATH: program}, args: ['--max-concurrent-tasks', '1']})
  const first = await at.begin(`while [ ! -e go ]; do sleep 0.05; done; ${answering('done')}`)
  await until(async () => (await at.http.get(first)).status === 'running', 'the first task to run')
  const tasks = await Promise.all(Array.from({length: 20}, () => at.begin(answering('done'))))
  const statuses = async () => Promise.all(tasks.map(async (id) => (await at.http.get(id)).status))
  return {
    at,
    tasks,
    statuses,
    /** Lets the first task end. */
    go: () => writeFileSync(join(at.tree, 'go'), ''),
    status: async () => JSON.parse((await at.cli(['status', '--json'])).stdout) as StatusReport,
    allComplete: () =>
      until(async () => (await statuses()).every((status) => status === 'completed'), 'all tasks to complete', 60_000),
  }
}

/** A copy of the stub agent that a test may remove. */
function ownProgram(folder: string, name = 'opencode'): string {
  const path = join(folder, name)
  copyFileSync(stubBinary, path)
  chmodSync(path, 0o755)
  return path
}

test('a removed agent program fails no task: the worker says so in status, log and at the server, and goes on when it is back', async () => {
  using scratch = scratchFolder()
  const program = ownProgram(scratch.path)
  const {at, tasks, statuses, go, status, allComplete} = await startWithQueue({program})
  await using _at = at
  renameSync(program, `${program}.gone`)
  go()
  await says(at.worker, `The worker takes no tasks: OpenCode is no longer at ${program}`)
  const reason = `OpenCode is no longer at ${program}`
  await until(
    async () => (await at.http.get(tasks[0] ?? '')).waiting?.includes(reason),
    'the server to know the reason',
  )
  const report = await status()
  expect(report.state).toBe('degraded')
  expect(report.error).toContain('takes no tasks: OpenCode is no longer at')
  expect(report.local[0]?.troubles).toMatchObject([{kind: 'agent', reason: `OpenCode is no longer at ${program}`}])
  expect(report.workers[0]?.paused).toContain('OpenCode is no longer at')
  expect((await statuses()).filter((each) => each !== 'pending')).toEqual([])

  renameSync(`${program}.gone`, program)
  await allComplete()
  for (const id of tasks) {
    const {attempt, returns} = await at.http.get(id)
    expect(attempt - returns).toBe(1)
  }
  expect((await status()).state).toBe('healthy')
})

test('an update that takes the program away for some seconds and points its link elsewhere fails no task', async () => {
  using scratch = scratchFolder()
  ownProgram(scratch.path, 'old')
  writeFileSync(ownProgram(scratch.path, 'new'), readFileSync(stubBinary, 'utf8').replace('1.18.0', '1.19.0'))
  const link = join(scratch.path, 'opencode')
  symlinkSync(join(scratch.path, 'old'), link)
  const {at, go, allComplete} = await startWithQueue({program: link})
  await using _at = at
  rmSync(link)
  go()
  await says(at.worker, 'The worker takes no tasks')
  symlinkSync(join(scratch.path, 'new'), link)
  await says(at.worker, 'OpenCode 1.19.0 at')
  await allComplete()
})

test('a program that breaks without an error of the system returns the task to the queue, and the attempt does not count', async () => {
  using scratch = scratchFolder()
  const program = join(scratch.path, 'opencode')
  const broken = join(scratch.path, 'broken')
  // A library is away, and the program itself is as it was: the worker learns of it when a task is started.
  const script = `#!/bin/sh\n[ ! -e '${broken}' ] || { echo "error while loading shared libraries" >&2; exit 127; }\nexec '${stubBinary}' "$@"\n`
  writeFileSync(program, script, {mode: 0o755})
  const {at, tasks, go, allComplete} = await startWithQueue({program})
  await using _at = at
  writeFileSync(broken, '')
  go()
  await says(at.worker, /The worker takes no tasks: .*error while loading shared libraries/)
  const returned = await until(async () => {
    const all = await Promise.all(tasks.map((id) => at.http.get(id)))
    // not one that was declined before it was started
    return all.find(({attempt, started_at}) => attempt > 1 && started_at !== null)
  }, 'a task to return')
  expect(returned).toMatchObject({started_at: expect.any(String), returns: returned.attempt - 1})
  rmSync(broken)
  await allComplete()
})

const isProcessLimitSkipped = reportSkipped(
  'a user without processes',
  process.platform === 'linux' && process.getuid?.() === 0 && spawnSync('prlimit', ['--version']).status === 0
    ? undefined
    : 'it needs root and prlimit',
)

test.skipIf(isProcessLimitSkipped)(
  'a machine without free processes fails no task, and the worker goes on when there are some',
  async () => {
    using scratch = scratchFolder()
    chmodSync(scratch.path, 0o755)
    const home = join(scratch.path, 'home')
    mkdirSync(home)
    const tree = repository(join(scratch.path, 'p'))
    spawnSync('chown', ['-R', `${strangerUid}:${strangerUid}`, home, tree])
    await using fleet = await startFleet({env: {OPENCODE_BIN_PATH: stubBinary}})
    const worker = fleet.startAs(['start', '--name', 'w', '--codebase', tree, '--max-concurrent-tasks', '1'], {
      cwd: tree,
      env: {...fleet.env, HOME: home, A2A_STATE_DIR: join(home, 'state'), SHELL: '/bin/sh'},
      by: asStranger(),
    })
    await says(worker, 'Task stream connected')
    const codebase = await fleet.codebaseId(tree)
    const begin = async (prompt: string) => (await fleet.http.task(codebase, {prompt})).id
    expect((await fleet.ended(await begin(answering('first')))).status).toBe('completed')
    // Only the user itself may change the limit of its process: root may lack the capability.
    const [by = '', ...words] = asStranger()
    const limit = (soft: number) =>
      spawnSync(by, [...words, 'prlimit', `--pid=${worker.process.pid}`, `--nproc=${soft}:`])
    expect(limit(1).status).toBe(0)
    const tasks = await Promise.all(Array.from({length: 20}, () => begin(answering('done'))))
    await says(worker, /The worker takes no tasks: .*EAGAIN/)
    await until(
      async () => (await Promise.all(tasks.map((id) => fleet.http.get(id)))).every(({status}) => status === 'pending'),
      'all tasks to be back in the queue',
    )
    expect(limit(1000).status).toBe(0)
    for (const id of tasks) expect((await fleet.ended(id)).status).toBe('completed')
  },
)

const noSmallDisk = smallDiskProblem()
describe.skipIf(reportSkipped('a disk without inodes', noSmallDisk))('a disk without inodes', () => {
  test('is not one that tells no limit: such a file system is not full', async () => {
    using disk = smallDisk(1)
    expect(spawnSync('mount', ['-o', 'remount,size=0', disk.path]).status).toBe(0)
    await using fleet = await startFleet({env: {OPENCODE_BIN_PATH: stubBinary, A2A_STATE_DIR: disk.path}})
    const tree = repository(join(fleet.path, 'p'))
    await fleet.worker('w', [tree])
    const {id} = await fleet.http.task(await fleet.codebaseId(tree), {prompt: answering('done')})
    expect((await fleet.ended(id)).status).toBe('completed')
    expect((await fleet.cli(['status'])).stdout).toMatch(/unlimited space free for/)
  })

  test('takes no tasks although space is free, names the inodes in status and log, and goes on when there are some', async () => {
    using disk = smallDisk(64)
    spawnSync('mount', ['-o', 'remount,nr_inodes=300', disk.path])
    await using fleet = await startFleet({env: {OPENCODE_BIN_PATH: stubBinary}})
    const tree = repository(join(fleet.path, 'p'))
    const env = {...fleet.env, A2A_STATE_DIR: disk.path, A2A_MIN_FREE_DISK: '1'}
    const worker = fleet.startAs(['start', '--name', 'w', '--codebase', tree], {env})
    await says(worker, 'Task stream connected')
    const fill = disk.folder('fill')
    for (let i = 0; i < 260; i++) {
      try {
        writeFileSync(join(fill, String(i)), '')
      } catch {
        break
      }
    }

    await says(worker, /Only \d+ more files can be created on the file system of .*: it runs out of inodes/)
    const codebase = await fleet.codebaseId(tree)
    const tasks = await Promise.all(
      Array.from({length: 20}, async () => (await fleet.http.task(codebase, {prompt: answering('done')})).id),
    )
    const status = await fleet.run(['status'], {env})
    expect(status.code).toBe(1)
    expect(status.stdout).toMatch(
      /MiB free for .*, but only \d+ more files can be created \(inodes\): the worker takes no tasks/,
    )
    expect((await fleet.http.get(tasks[0] ?? '')).waiting).toContain('no inodes left')
    expect(await Promise.all(tasks.map(async (id) => (await fleet.http.get(id)).status))).toEqual(
      tasks.map(() => 'pending'),
    )
    rmSync(fill, {recursive: true})
    for (const id of tasks) expect((await fleet.ended(id)).status).toBe('completed')
  })
})

test('towards the existing server, which takes nothing back, a sick worker stops claiming', async () => {
  using scratch = scratchFolder()
  const program = ownProgram(scratch.path)
  await using server = await ReferenceServer.start()
  await using workshop = openWorkshop({OPENCODE_BIN_PATH: program})
  const tree = repository(join(workshop.path, 'p'))
  const worker = await workshop.worker(server.url, 'w', [tree])
  const codebase = server.codebaseId(tree)
  renameSync(program, `${program}.gone`)
  const tasks = Array.from({length: 5}, () => server.trigger(codebase, {prompt: answering('done')}))
  await says(worker, `The worker takes no tasks: OpenCode is no longer at ${program}`)
  await says(worker, 'Task waits: OpenCode is no longer at')
  expect(tasks.map(({id}) => server.tasks.get(id)?.status)).toEqual(tasks.map(() => 'pending'))
  renameSync(`${program}.gone`, program)
  await until(() => tasks.every(({id}) => server.tasks.get(id)?.status === 'completed'), 'all tasks to complete')
})

describe('a program that is slow to print its version', () => {
  const env = {PATH: process.env['PATH']}
  const slowProgram = (folder: string, seconds: number) => {
    const path = join(folder, 'slow')
    writeFileSync(path, `#!/bin/sh\nsleep ${seconds}\nexec ${stubBinary} "$@"\n`, {mode: 0o755})
    return path
  }

  test('is waited for; if it never answers, that is temporary: exit 75, which a service manager repeats', async () => {
    using scratch = scratchFolder()
    const told: string[] = []
    const patience = {known: 50, slow: 100, most: 60_000}
    const probe = await probeOpenCode(slowProgram(scratch.path, 0.5), env, {
      onSlow: (text) => told.push(text),
      patience,
    })
    expect(probe.version).toBe('1.18.0')
    expect(told).toEqual([expect.stringContaining('slow to print its version. Waiting for it.')])
    const never = probeOpenCode(slowProgram(scratch.path, 60), env, {patience: {known: 50, slow: 100, most: 300}})
    await expect(never).rejects.toMatchObject({code: 'OPENCODE_SLOW', exitCode: 75})
    expect(readFileSync(join(import.meta.dirname, '../../docs/a2a-agent-worker.service'), 'utf8')).toMatch(
      /^RestartPreventExitStatus=2 77 78$/m,
    )
  })

  test('counts with its last known version meanwhile, if its path, size and time are the same, and is not left running', async () => {
    using scratch = scratchFolder()
    const gate = join(scratch.path, 'gate')
    const program = join(scratch.path, 'gated')
    writeFileSync(
      program,
      `#!/bin/sh\n[ -e ${gate} ] && { echo $$ >> ${gate}; exec sleep 600; }\nexec ${stubBinary} "$@"\n`,
      {mode: 0o755},
    )
    const file = join(scratch.path, 'opencode.json')
    const told: string[] = []
    const options = {file, onSlow: (text: string) => told.push(text), patience: {known: 100, slow: 60_000, most: 2000}}
    const first = await probeOpenCode(program, env, options)
    writeFileSync(gate, '')
    const second = await probeOpenCode(program, env, options)
    expect(second).toEqual(first)
    expect(told).toEqual([expect.stringContaining('The one seen before is used: 1.18.0')])
    const pids = readFileSync(gate, 'utf8').trim().split('\n')
    await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)), 'the slow program to end')
    writeFileSync(program, `#!/bin/sh\nsleep 600 # another program\n`, {mode: 0o755})
    await expect(probeOpenCode(program, env, options)).rejects.toMatchObject({exitCode: 75})
  })
})

describe('a model provider that refuses everything', () => {
  const refusal = printing(
    JSON.stringify({
      ...{type: 'error', timestamp: 1, sessionID: 'ses_1'},
      error: {name: 'APIError', data: {message: 'Incorrect API key provided', statusCode: 401, isRetryable: false}},
    }),
  )

  test('fails two tasks with its words; the others wait with that reason, also without a model, and those of other providers run; a reload ends that', async () => {
    await using at = await startOneWorker({args: ['--max-concurrent-tasks', '1']})
    const gate = await at.begin(`while [ ! -e go ]; do sleep 0.05; done; ${answering('done')}`)
    await until(async () => (await at.http.get(gate)).status === 'running', 'the gate to run')
    const create = async (prompt: string, more: object) =>
      (await at.http.task(at.codebase, {prompt: `[ -e mended ] && { ${answering('done')}exit; }; ${prompt}`, ...more}))
        .id
    const refused = await Promise.all(Array.from({length: 20}, () => create(refusal, {model: 'fake/x'})))
    const without = await create(refusal, {})
    writeFileSync(join(at.tree, 'go'), '')
    for (const id of refused.slice(0, 2))
      expect(await at.ended(id)).toMatchObject({status: 'failed', error: 'Incorrect API key provided'})
    await says(at.worker, 'The worker takes no tasks of provider fake: Incorrect API key provided')
    const other = await at.http.task(at.codebase, {prompt: answering('done'), model: 'other/y', priority: 1})
    expect((await at.ended(other.id)).error ?? '').not.toContain('Incorrect API key')
    await until(
      async () => (await at.http.get(without)).waiting?.includes('declined: provider fake: Incorrect API key'),
      'the reason at the server',
    )
    const statuses = await Promise.all(refused.slice(2).map(async (id) => (await at.http.get(id)).status))
    expect(statuses).toEqual(Array.from({length: 18}, () => 'pending'))
    const status = await at.cli(['status'])
    expect(status.code).toBe(1)
    expect(status.stdout).toMatch(/^trouble +takes no tasks of provider fake, for .*: Incorrect API key provided$/m)
    writeFileSync(join(at.tree, 'mended'), '')
    at.worker.process.kill('SIGHUP') // says that the login was mended
    for (const id of [...refused.slice(2), without]) expect((await at.ended(id)).status).toBe('completed')
  })

  test('is tried by one task after a pause; when that gets an answer, the others follow at once', async () => {
    await using plane = await startPlane()
    using scratch = scratchFolder()
    const tree = repository(join(scratch.path, 'p'))
    await using worker = await startInProcessWorker(plane.url, [tree], {factor: 60})
    const codebases = await until(async () => {
      const {body} = await plane.call('GET', '/v1/opencode/codebases')
      return (body as {id: string}[]).length > 0 ? (body as {id: string}[]) : undefined
    }, 'the codebase to be registered')
    const create = async () => {
      const prompt = `echo run >> runs; [ -e mended ] && { ${answering('done')}exit; }; ${refusal}`
      return (await plane.task(codebases[0]?.id ?? '', {prompt, model: 'fake/x'})).id
    }
    const ids = await Promise.all(Array.from({length: 6}, create))
    await until(() => worker.log().includes('takes no tasks of provider fake'), 'the provider to be sick')
    const runs = () => readFileSync(join(tree, 'runs'), 'utf8').length / 4
    await until(() => runs() === 3, 'one task to try the provider')
    const failed = async () =>
      (await Promise.all(ids.map((id) => plane.get(id)))).filter(({status}) => status === 'failed')
    expect(await failed()).toHaveLength(2)
    writeFileSync(join(tree, 'mended'), '')
    await until(
      async () =>
        (await Promise.all(ids.map((id) => plane.get(id)))).filter((t) => t.status === 'completed').length === 4,
      'the others to complete',
    )
    expect(await failed()).toHaveLength(2)
    expect(worker.log()).toContain('The worker takes tasks of provider fake again')
  })
})
