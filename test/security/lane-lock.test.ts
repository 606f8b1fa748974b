import {spawn, spawnSync} from 'node:child_process'
import {existsSync, lstatSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {markerVariable} from '../../src/lib/opencode/program/environment.ts'
import {bootId, identify} from '../../src/lib/executor/processes/processes.ts'
import {outsideFolders} from '../../src/lib/repository/outside-folders.ts'
import {clearGitLocks, findGitLocks} from '../../src/lib/worker/locks/git-locks.ts'
import {acquireLock, isLock, reacquireLock} from '../../src/lib/worker/locks/lock-file.ts'
import {WorkingTreeLocks} from '../../src/lib/worker/locks/working-tree-locks.ts'
import {workingTreeOf} from '../../src/lib/worker/locks/working-tree.ts'
import {repository, scratchFolder} from '../support/scratch.ts'

/** A working tree, a file of the worker's user that has nothing to do with it, and a state directory. */
function victim() {
  const scratch = scratchFolder()
  onTestFinished(() => scratch[Symbol.dispose]())
  const tree = repository(join(scratch.path, 'tree'))
  const precious = join(scratch.path, 'precious')
  writeFileSync(precious, 'mine\n')
  const stateDir = join(scratch.path, 'state')
  return {path: scratch.path, tree, precious, stateDir, lock: join(tree, '.git/a2a-worker.lock')}
}

/** A process that waits, with this environment. It is ended after the test. */
function bystander(env: Record<string, string> = {}) {
  const child = spawn('sleep', ['600'], {env: {PATH: process.env['PATH'] ?? '', ...env}, stdio: 'ignore'})
  onTestFinished(() => void child.kill('SIGKILL'))
  return identify(child.pid ?? 0)
}

const recordOf = ({pid, startTime}: {pid: number; startTime: string}) =>
  JSON.stringify({pid, start_time: startTime, boot_id: bootId(), since: 'now', what: 'task x'})

test('links at every name that a lock could have had leave the files behind them alone', () => {
  const {tree, precious, stateDir, lock} = victim()
  for (const name of ['', `.${process.pid}`, `.stale.${process.pid}`]) symlinkSync(precious, `${lock}${name}`)
  const held = new WorkingTreeLocks(stateDir).acquire(tree, 't')
  expect(typeof held).toBe('object')
  expect(readFileSync(precious, 'utf8')).toBe('mine\n')
  expect(lstatSync(lock).isFile()).toBe(true)
  if (typeof held === 'object') held.transferTo(identify(process.pid))
  expect(readFileSync(precious, 'utf8')).toBe('mine\n')
})

test.each(['a pipe', 'a directory', 'a link to nothing'])(
  '%s in place of the lock neither stops the worker nor is followed',
  (what) => {
    const {path, tree, lock, stateDir} = victim()
    if (what === 'a pipe') spawnSync('mkfifo', [lock])
    else if (what === 'a directory') mkdirSync(join(lock, 'kept'), {recursive: true})
    else symlinkSync(join(path, 'nothing'), lock)
    const held = new WorkingTreeLocks(stateDir).acquire(tree, 't')
    if (what === 'a directory') expect(held).toContain('its working tree is held by')
    else expect(lstatSync(lock).isFile()).toBe(true)
    expect(existsSync(join(path, 'nothing'))).toBe(false)
    expect(existsSync(join(lock, 'kept'))).toBe(what === 'a directory')
  },
)

test('an adopted lock is written only if it still is the file that named the agent', () => {
  const {path, lock} = victim()
  const agent = bystander({[markerVariable]: 'x'})
  const elsewhere = join(path, 'elsewhere')
  writeFileSync(elsewhere, recordOf(agent))
  symlinkSync(elsewhere, lock)
  expect(reacquireLock(lock, agent, 'task x')).toBeUndefined()
  expect(readFileSync(elsewhere, 'utf8')).toBe(recordOf(agent))
})

test('a lock that was replaced meanwhile is not removed with the one that was held', () => {
  const {lock} = victim()
  const held = acquireLock(lock, 'a')
  renameSync(lock, `${lock}.moved`)
  writeFileSync(lock, 'of somebody else')
  if (isLock(held)) held[Symbol.dispose]()
  expect(readFileSync(lock, 'utf8')).toBe('of somebody else')
})

test('a lock that names a process which is neither a worker nor an agent is stale; that of an agent holds', () => {
  const {tree, lock, stateDir} = victim()
  const take = () => new WorkingTreeLocks(stateDir).acquire(tree, 't')
  for (const pid of [bystander(), identify(1)]) {
    writeFileSync(lock, recordOf(pid))
    const held = take()
    expect(typeof held).toBe('object')
    if (typeof held === 'object') held[Symbol.dispose]()
  }

  const agent = bystander({[markerVariable]: 'w x 1'})
  writeFileSync(lock, recordOf(agent))
  expect(take()).toContain(`(pid ${agent.pid}`)
})

test('a .git file or link that points elsewhere chooses no place: not for the lock, nor for the locks of git that are removed', () => {
  const {path, tree, stateDir} = victim()
  const other = repository(join(path, 'other'))
  for (const name of ['index.lock', 'HEAD.lock']) writeFileSync(join(other, '.git', name), '')
  const claims = (kind: string) => join(path, kind)
  for (const kind of ['file', 'link', 'common']) mkdirSync(claims(kind))
  writeFileSync(join(claims('file'), '.git'), `gitdir: ${other}/.git\n`)
  symlinkSync(join(other, '.git'), join(claims('link'), '.git'))
  renameSync(join(tree, '.git'), join(claims('common'), '.git'))
  writeFileSync(join(claims('common'), '.git/commondir'), `${other}/.git\n`)
  writeFileSync(join(other, '.git/refs/heads/master.lock'), '')
  writeFileSync(join(claims('common'), '.git/HEAD'), 'ref: refs/heads/master\n')
  for (const kind of ['file', 'link']) expect(workingTreeOf(claims(kind), stateDir).lockFile).toContain(stateDir)
  for (const kind of ['file', 'link', 'common']) {
    expect(findGitLocks({path: claims(kind), dataDir: stateDir}), kind).toEqual([])
    expect(clearGitLocks({path: claims(kind), dataDir: stateDir, since: 0}).removed, kind).toEqual([])
    expect(outsideFolders(claims(kind)).writable, kind).toEqual([])
  }

  expect(existsSync(join(other, '.git/index.lock'))).toBe(true)
})

test('a HEAD that leads out of the repository removes no file there', () => {
  const {path, tree, stateDir} = victim()
  writeFileSync(join(path, 'uv.lock'), 'mine\n')
  for (const head of ['ref: ../../uv', 'ref: refs/../../../uv', `ref: ${join(path, 'uv')}`]) {
    writeFileSync(join(tree, '.git/HEAD'), `${head}\n`)
    expect(clearGitLocks({path: tree, dataDir: stateDir, since: 0}).removed, head).toEqual([])
  }

  expect(readFileSync(join(path, 'uv.lock'), 'utf8')).toBe('mine\n')
})

test('a linked worktree that its repository names back is locked in its git folder, as for every worker of the machine', () => {
  const {path, tree, stateDir} = victim()
  spawnSync('git', ['-C', tree, 'worktree', 'add', '-q', join(path, 'linked')])
  expect(workingTreeOf(join(path, 'linked'), stateDir).lockFile).toBe(
    join(tree, '.git/worktrees/linked/a2a-worker.lock'),
  )
})
