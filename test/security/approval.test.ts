import {existsSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import {isAlive, identify} from '../../src/lib/executor/processes/processes.ts'
import {askForApproval} from '../../src/lib/worker/admission/approval.ts'
import {answering} from '../support/agent-lines.ts'
import {startFleet} from '../support/fleet.ts'
import {hasBegun, startInProcessWorker} from '../support/in-process-worker.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'

async function setUp(settings: (path: string) => Record<string, unknown>) {
  const fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const worker = await startInProcessWorker(fleet.url, [path], {factor: 1, settings: settings(fleet.path)})
  await until(() => worker.running.intake.connection === 'stream', 'the stream')
  const codebase = await fleet.codebaseId(path)
  return {
    ...fleet,
    worker,
    tree: path,
    run: async (more: Record<string, unknown> = {}) =>
      fleet.ended((await fleet.http.task(codebase, {prompt: answering('done'), ...more})).id),
    hasBegun: (id: string) => hasBegun(worker, id),
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}

test('approve_task gets the task as JSON, approves with exit 0, and refuses with exit 1 and its words, before anything is started', async () => {
  await using at = await setUp((path) => ({
    approve_task: `cat > ${path}/asked; grep -q '"title":"good"' ${path}/asked || { echo "not on"; echo "a Friday"; exit 1; }`,
  }))
  const good = await at.run({title: 'good', metadata: {ticket: 'A-1'}})
  expect(good.status).toBe('completed')
  expect(JSON.parse(readFileSync(join(at.path, 'asked'), 'utf8'))).toMatchObject({
    ...{id: good.id, attempt: 1, title: 'good', prompt: answering('done'), agent: 'build', model: null},
    ...{metadata: {ticket: 'A-1'}, codebase: {name: 'p', path: at.tree}, signed_by: null, created_by: null},
    worker: {id: at.worker.id, name: 'here'},
  })
  const bad = await at.run({title: 'bad'})
  expect(bad).toMatchObject({status: 'failed', attempt: 1, error: 'Refused by approve_task: not on a Friday'})
  expect([at.hasBegun(good.id), at.hasBegun(bad.id)]).toEqual([true, false])
})

test('policy comes before the signature, and the signature before the approval', async () => {
  await using at = await setUp((path) => ({
    approve_task: ['/bin/sh', '-c', `echo asked >> "$0"; exit 1`, `${path}/asked`],
    allowed_agents: ['build'],
    verify_tasks: 'require',
    trusted_keys: [`ed25519:${'A'.repeat(43)}`],
  }))
  expect((await at.run({agent_type: 'plan'})).error).toContain('allowed_agents')
  expect((await at.run()).error).toContain('verify_tasks (unsigned)')
  expect(existsSync(join(at.path, 'asked'))).toBe(false)
})

test('the words of approve_task are redacted', async () => {
  await using at = await setUp(() => ({
    approve_task: 'echo "the key is hunter2-abc"; exit 1',
    redact: ['hunter2-\\w+'],
  }))
  const {error} = await at.run()
  expect(error).toContain('the key is')
  expect(error).not.toContain('hunter2')
})

const ask = (command: string | string[], more: Partial<Parameters<typeof askForApproval>[0]> = {}) =>
  askForApproval({
    command,
    task: {id: 't'},
    marker: `m:${Math.random()}`,
    env: process.env,
    clock: systemClock,
    ...more,
  })

test.each([
  ['exit 7', 'the command ended with 7, and only 0 approves'],
  ['echo oops >&2; exit 2', 'the command ended with 2, and only 0 approves: oops'],
  ['kill -9 $$', 'the command was ended by SIGKILL'],
  ['exit 1', 'the command gave no reason'],
  ['echo why >&2; exit 1', 'why'],
  [['/nowhere/approver'], 'the command cannot be started: spawn /nowhere/approver ENOENT'],
  [['/etc/passwd'], 'the command cannot be started: spawn /etc/passwd EACCES'],
])('whatever goes wrong is a refusal: %j', async (command, reason) => {
  expect(await ask(command)).toBe(reason)
})

test('a list is run without a shell, and long words are cut', async () => {
  using scratch = scratchFolder()
  const script = join(scratch.path, 'a b.sh')
  writeFileSync(script, '#!/bin/sh\nprintf "%s|" "$@"\nexit 1\n', {mode: 0o755})
  expect(await ask([script, '$(id)', 'two words', ''])).toBe('$(id)|two words||')
  expect(await ask('yes | head -c 1000000; exit 1')).toHaveLength(4095)
})

test("the command does not get the worker's settings, and need not read the task", async () => {
  const env = {...process.env, A2A_AUTH_TOKEN: 'secret', A2A_X: 'y', FOR_THE_APPROVER: 'z'}
  expect(await ask('env | grep -E "^(A2A_|FOR_THE)" | grep -v ^A2A_RUN=; exit 1', {env})).toBe('FOR_THE_APPROVER=z')
  expect(await ask('exit 0', {task: {prompt: 'x'.repeat(1_000_000)}})).toBeUndefined()
})

test('a command that does not answer is ended with all of its processes, and its task is refused', async () => {
  using scratch = scratchFolder()
  const pids = join(scratch.path, 'pids')
  const command = `trap '' TERM; setsid sh -c 'echo $$ >> ${pids}; exec sleep 600' & (sh -c 'echo $$ >> ${pids}; exec sleep 600' &) ; echo $$ >> ${pids}; wait`
  const asked = ask(command, {timeoutMs: 500})
  await until(() => existsSync(pids) && readFileSync(pids, 'utf8').trim().split('\n').length === 3, 'three processes')
  const processes = readFileSync(pids, 'utf8')
    .trim()
    .split('\n')
    .map((pid) => identify(Number(pid)))
  expect(processes.every(isAlive)).toBe(true)
  expect(await asked).toBe('the command has not answered within 0.5 s')
  expect(processes.filter(isAlive)).toEqual([])
})

test('what an approver leaves in the background is ended, too', async () => {
  using scratch = scratchFolder()
  const file = join(scratch.path, 'pid')
  expect(
    await ask(
      `setsid sh -c 'echo $$ > ${file}.new; mv ${file}.new ${file}; exec sleep 600' & until [ -e ${file} ]; do sleep 0.01; done; exit 0`,
    ),
  ).toBeUndefined()
  expect(isAlive(identify(Number(readFileSync(file, 'utf8'))))).toBe(false)
})
