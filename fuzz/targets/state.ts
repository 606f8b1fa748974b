import {mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'
import {workerIdentity} from '../../src/lib/config/identity.ts'
import {readLocalControlPlane} from '../../src/lib/config/local-control-plane.ts'
import {readLedger} from '../../src/lib/sessions/ledger.ts'
import {SyncState} from '../../src/lib/sessions/sync-state.ts'
import {Codebases} from '../../src/lib/worker/registration/codebases.ts'
import {workingTreeOf} from '../../src/lib/worker/locks/working-tree.ts'
import {isLock, acquireLock} from '../../src/lib/worker/locks/lock-file.ts'
import {mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import type {Random} from '../random.ts'
import {check, type Target, type Verdict} from '../target.ts'

type Reader = (file: string, folder: string) => Promise<Verdict> | Verdict

/** The files of the state directory: path, valid content, and reader. */
const readers: readonly (readonly [path: string, good: unknown, Reader])[] = [
  ['workers/w/identity.json', {worker_id: 'worker-1'}, readIdentity],
  ['local.json', {url: 'http://127.0.0.1:7420', port: 7420, token: 'secret'}, readLocal],
  ['workers/w/sessions.json', syncState(), readSessions],
  ['workers/w/codebases.json', [{name: 'p', path: '/tmp', description: ''}], readCodebases],
  ['a2a-worker.lock', {pid: 1, start_time: '1', boot_id: '', since: '2026-01-01T00:00:00Z', what: 'task 1'}, readLock],
  ['tree/.git', 'gitdir: ../git\n', readTree],
]

/** Damaged state files. The worker ignores or reports them. */
export const state: Target = {
  name: 'state',
  share: 60,
  open: (folder) => {
    for (const name of ['workers/w', 'tree', 'git']) mkdirSync(join(folder, name), {recursive: true})
    return {
      async run(random) {
        const [path, good, read] = random.pick(readers)
        const file = join(folder, path)
        writeFileSync(file, contentOf(good, random))
        return await read(file, folder)
      },
    }
  },
}

function contentOf(good: unknown, random: Random): Buffer {
  if (typeof good === 'string') return mutateBytes(Buffer.from(good), random)
  const text = Buffer.from(random.chance(0.7) ? mutateJson(good, random) : JSON.stringify(good))
  return random.chance(0.4) ? mutateBytes(text, random) : text
}

const verdict = (isGood: boolean): Verdict => (isGood ? 'accepted' : 'refused')

function readIdentity(_: string, folder: string): Verdict {
  const place = {stateDir: folder, name: 'w'}
  const id = workerIdentity(place).workerId
  check(/^[!-~]{1,200}$/.test(id), 'an id fits into a header and a variable')
  check(workerIdentity(place).workerId === id, 'the id stays')
  return verdict(id === 'worker-1')
}

async function readLocal(_: string, folder: string): Promise<Verdict> {
  const local = readLocalControlPlane(folder)
  if (!local) return 'refused'
  await using client = new ControlPlaneClient({baseUrl: local.url, token: local.token})
  check(client.url !== '' && local.port > 0 && local.port < 65_536, 'address and port can be used')
  check(/^[!-~]+$/.test(local.token), 'the token fits into a header')
  return 'accepted'
}

function syncState(): unknown {
  const about = {seen: '1', sessions: 'ses_1 abc\nses_2 def', messages: {ses_1: 'msg_1 abc'}}
  return {basis: 'basis', codebases: {'codebase-1': about, 'codebase-2': about}}
}

async function readSessions(file: string): Promise<Verdict> {
  const saved = new SyncState(file, {server: 'http://127.0.0.1', patterns: []})
  const {sessions, messages} = saved.of('codebase-1')
  readLedger(sessions)
  for (const ledger of messages.values()) readLedger(ledger)
  saved.recordMessages('codebase-1', 'ses_3', 'msg_1 x', 1)
  await saved.save()
  return verdict(sessions !== '')
}

function readCodebases(file: string): Verdict {
  const roots = () => ({paths: ['/tmp'], isInclusive: true})
  const codebases = new Codebases({configured: [], global: undefined, roots, workerDir: join(file, '..')})
  for (const {path} of codebases.list)
    check(codebases.problemWith(path) === undefined, 'a stored codebase may be served')
  codebases.add({name: 'q', path: '/tmp/q', description: ''}, true)
  return verdict(codebases.list.length > 1)
}

function readLock(file: string): Verdict {
  const lock = acquireLock(file, 'fuzz')
  if (isLock(lock)) lock[Symbol.dispose]()
  return verdict(isLock(lock))
}

function readTree(file: string, folder: string): Verdict {
  const {key, lockFile} = workingTreeOf(join(file, '..'), folder)
  check(key !== '' && !lockFile.includes('\0'), 'a working tree has a path for its lock')
  return 'accepted'
}
