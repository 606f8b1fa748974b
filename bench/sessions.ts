// The cost of syncing sessions without changes, how long a first sync blocks the event loop, and how it delays tasks.
import {mkdirSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {monitorEventLoopDelay} from 'node:perf_hooks'
import {ControlPlaneClient} from '../src/lib/client/control-plane.ts'
import {requestSync} from '../src/lib/control/socket-client.ts'
import {socketPath} from '../src/lib/control/socket-path.ts'
import {systemClock} from '../src/lib/core/clock.ts'
import {EventBus} from '../src/lib/events/bus.ts'
import {SessionSync} from '../src/lib/sessions/session-sync.ts'
import {agentDatabase} from '../test/support/agent-storage.ts'
import {
  agentLog,
  buildAgent,
  calibrate,
  elapsed,
  environment,
  httpCaller,
  median,
  nowNs,
  quantile,
  report,
  scratchFolder,
  sleep,
  startFleet,
  until,
} from './support.ts'

const count = Number(process.env['SESSIONS'] ?? 10_000)
const tasks = Number(process.env['TASKS'] ?? 60)
const rounds = Number(process.env['ROUNDS'] ?? 3)
using scratch = scratchFolder()
const env = environment(scratch.path, buildAgent(scratch.path))
const data = join(scratch.path, 'home/.local/share/opencode')
const code = join(scratch.path, 'codebase-0')
mkdirSync(code)
using agent = agentDatabase(join(data, 'opencode.db'))
agent.database.exec('BEGIN')
for (let i = 0; i < count; i++) {
  agent.session({id: `ses_${i}`, directory: code, title: `Session ${i} of many`, updated: 1.7e12 + i})
  for (let m = 0; m < (i > count - 4 ? 100 : 5); m++)
    agent.message({
      id: `msg_${i}_${m}`,
      session: `ses_${i}`,
      created: 1.7e12 + m,
      parts: [1, 2, 3].map((n) => ({
        id: `prt_${i}_${m}_${n}`,
        type: 'text',
        text: 'x'.repeat(i > count - 4 ? 2000 : 20),
      })),
    })
}

agent.database.exec('COMMIT')
await using fleet = await startFleet(scratch.path, env)
const call = httpCaller(fleet.url)

// ------------------------------------------------------------------------------------- a sync without tasks

let sent = 0
/** Counts the sent bytes. */
class CountingClient extends ControlPlaneClient {
  override syncSessions(id: string, body: Buffer, signal?: AbortSignal) {
    sent += body.length
    return super.syncSessions(id, body, signal)
  }

  override syncMessages(id: string, session: string, body: Buffer, signal?: AbortSignal) {
    sent += body.length
    return super.syncMessages(id, session, body, signal)
  }
}

await using client = new CountingClient({baseUrl: fleet.url})
await client.registerWorker({worker_id: 'other', name: 'other'})
const {id} = await client.registerCodebase({name: 'other', path: code, description: '', worker_id: 'other'})
const file = join(scratch.path, 'sessions.json')
const newSync = () =>
  new SessionSync({
    ...{client, clock: systemClock, bus: new EventBus(systemClock), workerId: 'other', file},
    ...{secrets: ['a secret that does not occur'], patterns: [], activeMs: 1000},
    storage: {setting: data, env: {}, home: scratch.path},
    directories: () => [{codebaseId: id, directory: code}],
    isDelta: () => true,
    register: async () => {},
    active: () => [],
    limits: {sessions: 3, messages: 100},
  })

/** Measures one sync: time, CPU time of all threads, longest block of the event loop, and sent bytes. */
async function measureSync(sync: SessionSync) {
  const delay = monitorEventLoopDelay({resolution: 1})
  delay.enable()
  await sleep(20)
  delay.reset()
  const [begun, cpu, before] = [performance.now(), process.cpuUsage(), sent]
  const [result] = await sync.syncNow(new AbortController().signal)
  const {user, system} = process.cpuUsage(cpu)
  const ms = performance.now() - begun
  await sleep(20)
  delay.disable()
  return {ms, cpuMs: (user + system) / 1000, blockedMs: delay.max / 1e6, bytes: sent - before, result}
}

const printSync = (
  what: string,
  {ms, cpuMs, blockedMs, bytes}: Awaited<ReturnType<typeof measureSync>>,
  goal: string,
) =>
  process.stdout.write(
    `${what.padEnd(44)} ${ms.toFixed(1).padStart(8)} ms  cpu ${cpuMs.toFixed(1).padStart(7)} ms  longest block ${blockedMs.toFixed(1).padStart(5)} ms  ${bytes} bytes (goal ${goal})\n`,
  )

await using sync = newSync()
const first = await measureSync(sync)
printSync(`first sync of ${count} sessions`, first, 'longest block ≤ 50 ms')
printSync('nothing has changed', await measureSync(sync), 'cpu ≤ 50 ms, 0 bytes')
{
  await using again = newSync()
  printSync('nothing has changed, after a restart', await measureSync(again), 'cpu ≤ 50 ms, 0 bytes')
}

agent.session({id: 'ses_foreign', directory: '/elsewhere'})
printSync('sessions of other directories have changed', await measureSync(sync), '0 bytes')
agent.session({id: 'ses_5', directory: code, title: 'changed'})
printSync('one session has changed', await measureSync(sync), '-')

// ------------------------------------------------------------------------------------- a sync during tasks

const readAgentLog = agentLog(join(scratch.path, 'agent.log'))

/** The time from the POST of a task to the agent's first instruction, in ms. */
async function dispatch(): Promise<number> {
  const posted = nowNs()
  const answer = await call('POST', `/v1/opencode/codebases/${fleet.ids[0]}/tasks`, {title: 't', prompt: 'x'})
  const {task} = answer as {task: {id: string}}
  const start = await until(() => readAgentLog().find(({ev}) => ev === 'start'), 'the agent to start')
  await until(async () => {
    const {status} = (await call('GET', `/v1/opencode/tasks/${task.id}`)) as {status: string}
    return status === 'completed'
  }, 'the task to end')
  return elapsed(posted, BigInt(start.t))
}

async function round(): Promise<number[]> {
  calibrate()
  const times: number[] = []
  for (let i = 0; i < tasks; i++) {
    times.push(await dispatch())
    await sleep(5)
  }

  return times
}

/** Requests complete syncs of the worker, one after the other, until aborted. */
async function syncRepeatedly(stop: AbortSignal): Promise<number> {
  let syncs = 0
  while (!stop.aborted) {
    await requestSync(socketPath(env, env['A2A_STATE_DIR'] ?? '', 'bench'), true)
    syncs += 1
  }

  return syncs
}

await requestSync(socketPath(env, env['A2A_STATE_DIR'] ?? '', 'bench'), false)
await round()
const quiet: number[][] = []
const busy: number[][] = []
let syncs = 0
for (let i = 0; i < rounds; i++) {
  quiet.push(await round())
  const stop = new AbortController()
  const working = syncRepeatedly(stop.signal)
  busy.push(await round())
  stop.abort()
  syncs += await working
}

const of = (list: number[][], q: number) => median(list.map((times) => quantile(times, q)))
report(`dispatch p50 during ${syncs} complete syncs`, of(busy, 0.5), of(quiet, 0.5), 'ms', '≤ 1.3')
report('dispatch p90', of(busy, 0.9), of(quiet, 0.9), 'ms', '-')
rmSync(file, {force: true})
