import {existsSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {ownRunGroups} from '../../src/lib/executor/processes/run-groups.ts'
import {mayCreateNamespaces} from '../../src/lib/executor/processes/namespace.ts'
import {listProcesses} from '../../src/lib/executor/processes/processes.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {stop} from '../support/cli.ts'
import {startOneWorker} from '../support/one-worker.ts'
import {reportSkipped} from '../support/private-systemd/private-machine.ts'
import {until} from '../support/scratch.ts'
import {says} from '../support/workshop.ts'

const skip = reportSkipped(
  'processes that a run leaves',
  ownRunGroups() ? undefined : 'it needs a cgroup v2 that this user may change',
)

let number = 90_000 + Math.floor(Math.random() * 9000) * 1000
/** A line that leaves a process without parent, session, environment, folder and output, and how to find that process. */
function stray() {
  const seconds = String((number += 1))
  const line = `(cd / && env -i setsid /bin/sh -c '/bin/sleep ${seconds} & exit' </dev/null >/dev/null 2>&1); sleep 0.2`
  const find = () =>
    listProcesses().filter(({pid}) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === `/bin/sleep\0${seconds}\0`
      } catch {
        return false
      }
    })
  return {line, find}
}

test.skipIf(skip)('a process that has shed all signs of its run is ended with it', async () => {
  await using place = await startOneWorker()
  const {line, find} = stray()
  const task = await place.begin(`${printing(stepStart())}${line}; touch left; sleep 0.2; ${answering('done')}`)
  await until(() => existsSync(join(place.tree, 'left')), 'the process')
  expect(find()).toHaveLength(1)
  expect(await place.ended(task)).toMatchObject({status: 'completed'})
  expect(find()).toEqual([])
  expect((await place.cli(['status'])).stdout).toContain('each run has a control group, so no process of it is left')
})

test.skipIf(skip)('also if the worker is killed meanwhile: adopted, or ended before that', async () => {
  await using place = await startOneWorker()
  const [adopted, ended] = [stray(), stray()]
  const wait = (file: string) => `while [ ! -e ${file} ]; do sleep 0.05; done`
  const script = `${printing(stepStart())}${adopted.line}; touch left; ${wait('go')}; ${ended.line}; ${answering('done')}`
  const task = await place.begin(script)
  await until(() => existsSync(join(place.tree, 'left')), 'the process')
  await stop(place.worker, 'SIGKILL')
  const second = await place.startWorker()
  await says(second, 'Going on with a run whose agent is at work')
  writeFileSync(join(place.tree, 'go'), '')
  expect(await place.ended(task)).toMatchObject({status: 'completed', result: 'done'})
  expect([...adopted.find(), ...ended.find()]).toEqual([])
})

test.skipIf(skip)(
  'a run that nobody knows any more is ended at the next start, with all that it has left',
  async () => {
    await using place = await startOneWorker()
    const {line, find} = stray()
    await place.begin(`${printing(stepStart())}${line}; touch left; sleep 100`)
    await until(() => existsSync(join(place.tree, 'left')), 'the process')
    await stop(place.worker, 'SIGKILL')
    const [{pid} = {pid: 0}] = find()
    for (const end of ['', '-wal', '-shm']) rmSync(join(place.path, `state/workers/w/journal.db${end}`), {force: true})
    const second = await place.startWorker()
    await says(second, 'Ending processes of an unknown run (control group')
    await until(() => find().length === 0, `process ${pid} to end`)
  },
)

const noNamespaces = reportSkipped(
  'pid namespaces of runs',
  mayCreateNamespaces() ? undefined : 'this user may create none',
)

test.skipIf(noNamespaces)(
  'run_containment=namespace ends it too, with the exit of the agent, its stdin and a cancellation',
  async () => {
    await using place = await startOneWorker({env: {A2A_RUN_CONTAINMENT: 'namespace', A2A_CANCEL_GRACE: '5'}})
    const {line, find} = stray()
    const task = await place.begin(`${printing(stepStart())}${line}; touch left; sleep 0.5; ${answering('done')}`)
    await until(() => existsSync(join(place.tree, 'left')), 'the process')
    expect(find()).toHaveLength(1)
    expect(await place.ended(task)).toMatchObject({status: 'completed', result: 'done'})
    expect(find()).toEqual([])
    expect((await place.cli(['status'])).stdout).toContain('each run has a pid namespace')
    const failing = await place.begin('exit 3')
    expect((await place.ended(failing)).error).toContain('exit')
    const cancelled = await place.begin(`trap 'echo told >told; exit' TERM\ntouch begun; while :; do sleep 0.05; done`)
    await until(() => existsSync(join(place.tree, 'begun')), 'the agent')
    await place.cli(['tasks', 'cancel', cancelled])
    expect(await place.ended(cancelled)).toMatchObject({status: 'cancelled'})
    expect(readFileSync(join(place.tree, 'told'), 'utf8')).toBe('told\n')
  },
)

test.skipIf(skip)('run_containment=none is what is left without control groups, and status says so', async () => {
  await using place = await startOneWorker({env: {A2A_RUN_CONTAINMENT: 'none'}})
  const {line, find} = stray()
  const task = await place.begin(`${printing(stepStart())}${line}; sleep 0.2; ${answering('done')}`)
  expect(await place.ended(task)).toMatchObject({status: 'completed'})
  expect((await place.cli(['status'])).stdout).toContain('one that sheds all of that is left')
  for (const {pid} of find()) process.kill(pid, 'SIGKILL')
})
