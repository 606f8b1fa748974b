import {spawn} from 'node:child_process'
import {appendFileSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'
import {expect, test} from 'vitest'
import {bootId, identify} from '../../src/lib/executor/processes/processes.ts'
import {root} from '../support/cli.ts'
import {caller} from '../support/plane.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {assertRunning, openWorkshop, says} from '../support/workshop.ts'

/**
 * What version 9e45809 left on disk when its control plane and its worker were killed: a task that was running, one
 * whose agent ended after that, one that waited, and one that had ended. Databases are kept as SQL, with @PLACE@ for
 * the folder.
 */
const recorded = join(root, 'test/fixtures/version-0')
const ids = {
  running: 'a4bbff94-86dc-473b-a937-e57b437d82f8',
  endedMeanwhile: 'a5c6e641-8152-4fc6-9c5d-26a00c56ecdc',
  waiting: '2d6219e2-623c-4b12-813c-1192a724eaa3',
  endedBefore: 'baebe937-260e-4c13-b80c-0aafc698c98c',
}

/** Creates a database as that version did: in WAL mode, and readable by everybody. */
function restore(file: string, name: string, place: string): DatabaseSync {
  const database = new DatabaseSync(file)
  database.exec('PRAGMA journal_mode = WAL')
  database.exec(readFileSync(join(recorded, name), 'utf8').replaceAll('@PLACE@', place))
  return database
}

/** Starts the agent of the running task as that version did: a process group, the prompt as stdin, the spool as stdout. */
function startAgent(place: string, runDir: string) {
  const [stdin, stdout] = [openSync(join(runDir, 'prompt'), 'r'), openSync(join(runDir, 'stdout.ndjson'), 'a')]
  mkdirSync(join(runDir, 'tmp'), {recursive: true})
  // It has already printed the first line: the prompt prints it again, so the spool starts empty.
  writeFileSync(join(runDir, 'stdout.ndjson'), '')
  const env = {...process.env, A2A_RUN: `324c2eb313bf:${ids.running}:1`, TMPDIR: join(runDir, 'tmp')}
  return spawn('sh', ['-s'], {cwd: join(place, 'p'), env, detached: true, stdio: [stdin, stdout, stdout]})
}

test.skipIf(process.platform !== 'linux')(
  'state and database of an earlier version are taken over: running, waiting and ended tasks, output, tokens and ids',
  async () => {
    await using shop = openWorkshop({OPENCODE_BIN_PATH: stubBinary})
    const workerDir = join(shop.path, 'state/workers/box')
    for (const name of ['p', 'q']) repository(join(shop.path, name))
    mkdirSync(workerDir, {recursive: true})
    cpSync(join(recorded, 'runs'), join(workerDir, 'runs'), {recursive: true})
    cpSync(join(recorded, 'identity.json'), join(workerDir, 'identity.json'))
    const runDir = join(workerDir, 'runs', ids.running, '1')
    const agent = startAgent(shop.path, runDir)
    await until(() => statSync(join(runDir, 'stdout.ndjson')).size > 0, 'the first line of the agent')
    const journal = restore(join(workerDir, 'journal.db'), 'journal.sql', shop.path)
    const {pid, startTime} = identify(agent.pid ?? 0)
    journal.prepare('UPDATE runs SET boot_id = ?').run(bootId() ?? '')
    journal.prepare('UPDATE runs SET pid = ?, start_time = ? WHERE task_id = ?').run(pid, startTime, ids.running)
    journal.close()
    const database = join(shop.path, 'server.db')
    restore(database, 'server.sql', shop.path).close()

    const tokens = {A2A_AUTH_TOKENS: 'me:admin-token-1,box/worker:worker-token'}
    const plane = shop.start(['serve', '--port', '0', '--db', database], {env: {...shop.env, ...tokens}})
    const url = await until(() => plane.stdout().trim() || assertRunning(plane), 'the control plane')
    const http = caller(url, 'admin-token-1')
    const words = ['start', '--server', url, '--name', 'box', '--codebase', join(shop.path, 'p')]
    const worker = shop.start([...words, '--codebase', join(shop.path, 'q')], {
      env: {...shop.env, A2A_AUTH_TOKEN: 'worker-token'},
    })
    await says(worker, 'Going on with a run whose agent is at work')
    appendFileSync(join(shop.path, 'p/go'), '')
    const ended = (id: string) =>
      until(async () => {
        const task = await http.get(id)
        return task.completed_at !== null && task
      }, `${id} to end`)
    const about = {status: 'completed', worker_id: '324c2eb313bf', attempt: 1}
    expect(await ended(ids.running)).toMatchObject({...about, result: 'adopted'})
    expect(await ended(ids.endedMeanwhile)).toMatchObject({...about, result: 'ended meanwhile'})
    expect(await ended(ids.waiting)).toMatchObject({...about, result: 'waited'})
    expect(await http.get(ids.endedBefore)).toMatchObject({...about, result: 'old result'})
    for (const [id, text] of [
      [ids.running, 'adopted'],
      [ids.endedBefore, 'old result'],
    ] as const) {
      const {body} = await http.call('GET', `/v1/opencode/tasks/${id}/output?since=0`)
      const output = (body as {outputs: {output: string}[]}).outputs.map((part) => part.output).join('')
      expect(output.split('\n').filter((line) => line.includes('step_start'))).toHaveLength(1)
      expect(output).toContain(`"text":"${text}"`)
    }
    const {body} = await http.call('GET', '/v1/opencode/codebases')
    expect((body as {id: string}[]).map(({id}) => id).sort()).toEqual(['1d92d00b', 'a5f9e8da'])
    for (const file of [database, join(workerDir, 'journal.db')]) expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(worker.stderr()).not.toMatch(/ERROR|bug/i)
    expect(existsSync(join(workerDir, 'journal.db'))).toBe(true)
  },
)
