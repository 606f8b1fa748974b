import {spawn} from 'node:child_process'
import {existsSync, mkdirSync, utimesSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {stop} from '../support/cli.ts'
import {processesOf} from '../support/opencode-fleet.ts'
import {startOneWorker} from '../support/one-worker.ts'
import {until} from '../support/scratch.ts'
import {says} from '../support/workshop.ts'

const commit = 'echo more >>README.md; git -c user.name=t -c user.email=t@localhost commit -qam more'
/** A commit that does not end: git holds its locks while the hook runs. */
const hangingCommit = `mkdir -p .git/hooks; printf '#!/bin/sh\\nsleep 600\\n' >.git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; ${commit}\n`

type OneWorker = Awaited<ReturnType<typeof startOneWorker>>

const lockOf = ({tree}: Pick<OneWorker, 'tree'>) => join(tree, '.git/index.lock')

/** A task whose agent is ended by SIGKILL while its git holds the lock. */
async function killedWhileCommitting(place: OneWorker): Promise<string> {
  const id = await place.begin(`${printing(stepStart())}${hangingCommit}`)
  await until(() => existsSync(lockOf(place)), 'git to hold its lock')
  return id
}

test('an index.lock that a killed agent has left is removed, and the next task commits', async () => {
  await using place = await startOneWorker({env: {A2A_CANCEL_GRACE: '0'}})
  const id = await killedWhileCommitting(place)
  await place.http.call('POST', `/v1/opencode/tasks/${id}/cancel`)
  expect((await place.ended(id)).status).toBe('cancelled')
  expect(existsSync(lockOf(place))).toBe(false)
  await says(place.worker, `Removed ${lockOf(place)}, which the killed agent has left`)
  const next = await place.begin(`rm .git/hooks/pre-commit; ${commit} && ${answering('done')}`)
  expect(await place.ended(next)).toMatchObject({status: 'completed', result: 'done'})
})

test('so is one whose agent was killed together with the worker', async () => {
  await using place = await startOneWorker({env: {A2A_CANCEL_GRACE: '0', A2A_ON_INTERRUPT: 'fail'}})
  const id = await killedWhileCommitting(place)
  await stop(place.worker, 'SIGKILL')
  for (const pid of processesOf(id)) process.kill(Number(pid), 'SIGKILL')
  const worker = await place.startWorker()
  expect(await place.ended(id)).toMatchObject({status: 'failed'})
  await says(worker, `Removed ${lockOf(place)}, which the killed agent has left`)
  expect(existsSync(lockOf(place))).toBe(false)
})

test("a lock in OpenCode's snapshots of the working tree is removed too, that of another tree is not", async () => {
  await using place = await startOneWorker()
  const snapshots = join(place.env['HOME'] ?? '', '.local/share/opencode/snapshot/project')
  for (const [name, worktree] of Object.entries({mine: place.tree, other: '/srv/other'})) {
    mkdirSync(join(snapshots, name), {recursive: true})
    writeFileSync(join(snapshots, name, 'config'), `[core]\n\tbare = false\n\tworktree = ${worktree}\n`)
  }
  const lock = (name: string) => join(snapshots, name, 'index.lock')
  const id = await place.begin(`touch ${lock('mine')} ${lock('other')}; ${answering('done')}`)
  expect((await place.ended(id)).status).toBe('completed')
  expect([existsSync(lock('mine')), existsSync(lock('other'))]).toEqual([false, true])
})

test('a lock that was there before stays; the error of the task and doctor name it', async () => {
  await using place = await startOneWorker()
  const lock = lockOf(place)
  writeFileSync(lock, '')
  utimesSync(lock, new Date('2026-01-02T03:04:05Z'), new Date('2026-01-02T03:04:05Z'))
  const old = await place.ended(await place.begin(`${printing(stepStart())}${commit}\n`))
  const hint = `${lock} is there since 2026-01-02T03:04:05.000Z: another git is at work, or was killed. If none is at work there, remove it: rm ${lock}`
  expect(old).toMatchObject({status: 'failed', error: expect.stringContaining(hint)})
  expect(existsSync(lock)).toBe(true)
  const doctor = await place.run(['doctor'], {env: {...place.env, A2A_CODEBASES: place.tree}})
  expect(doctor.stdout).toContain(`${lock} is there since 2026-01-02T03:04:05.000Z`)
  expect(doctor.stdout).toContain(`rm ${lock}`)
})

test('the lock of a git that still runs stays, although it was made during the run', async () => {
  await using place = await startOneWorker()
  const id = await place.begin(`${printing(stepStart())}until [ -e ../go ]; do sleep 0.05; done; exit 1\n`)
  await until(async () => (await place.http.get(id)).status === 'running', 'the task to run')
  writeFileSync(join(place.tree, 'README.md'), 'of a person\n')
  const identity = ['-c', 'user.name=t', '-c', 'user.email=t@localhost']
  const git = spawn('git', [...identity, 'commit', '-a'], {
    cwd: place.tree,
    env: {...process.env, GIT_EDITOR: 'sleep 600 #'},
  })
  onTestFinished(() => void git.kill('SIGKILL'))
  await until(() => existsSync(lockOf(place)), 'git to hold its lock')
  writeFileSync(join(place.path, 'go'), '')
  expect(await place.ended(id)).toMatchObject({status: 'failed', error: expect.stringContaining(`rm ${lockOf(place)}`)})
  expect(existsSync(lockOf(place))).toBe(true)
})
