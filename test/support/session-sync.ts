import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'
import {systemClock, type Clock} from '../../src/lib/core/clock.ts'
import {EventBus} from '../../src/lib/events/bus.ts'
import type {WorkerEvent} from '../../src/lib/events/worker-event.ts'
import type {RunningTask} from '../../src/lib/sessions/follow-sessions.ts'
import {elsewhere} from '../../src/lib/sessions/codebase-directories.ts'
import {SessionSync, type SyncOptions} from '../../src/lib/sessions/session-sync.ts'
import {agentDatabase} from './agent-storage.ts'
import {scratchFolder} from './scratch.ts'

export type SyncingOptions = Partial<SyncOptions> & {withRest?: boolean}

/** OpenCode's database, and a sync of it to a server where worker `w` has the codebase `code`. */
export async function startSessionSync(
  server: string,
  {withRest = false, clock: time = systemClock, ...more}: SyncingOptions = {},
) {
  const scratch = scratchFolder()
  const code = join(scratch.path, 'code')
  mkdirSync(code)
  const data = join(scratch.path, 'opencode')
  const agent = agentDatabase(join(data, 'opencode.db'))
  const client = new ControlPlaneClient({baseUrl: server})
  const bus = new EventBus(systemClock)
  const notices: string[] = []
  bus.on((event: WorkerEvent) => {
    if (event.type === 'notice' && event.level !== 'debug') notices.push(event.text)
  })
  const known = {isDelta: false, id: '', registrations: 0}
  const active: RunningTask[] = []
  const register = async () => {
    const answer = await client.registerWorker({worker_id: 'w', name: 'w'})
    known.isDelta = answer.features.includes('sessions-delta')
    known.id = (await client.registerCodebase({name: 'code', path: code, description: '', worker_id: 'w'})).id
    known.registrations += 1
  }
  await register()
  let naps = 0
  const clock: Clock = {
    ...time,
    sleep: async (ms, signal) => {
      await time.sleep(ms, signal)
      naps += 1
    },
  }
  const options: SyncOptions = {
    ...{client, bus, clock, workerId: 'w', register, secrets: [], patterns: []},
    storage: {setting: data, env: {}, home: scratch.path},
    file: join(scratch.path, 'sessions.json'),
    directories: () => [
      {codebaseId: known.id, directory: code},
      ...(withRest ? [{codebaseId: 'global', directory: elsewhere}] : []),
    ],
    isDelta: () => known.isDelta,
    active: () => active,
    activeMs: 50,
    limits: {sessions: 3, messages: 100},
    ...more,
  }
  let sync = new SessionSync(options)
  return {
    path: scratch.path,
    code,
    data,
    agent,
    client,
    bus,
    /** The active tasks. */
    active,
    known,
    notices,
    /** The number of waits. */
    naps: () => naps,
    now: () => sync.syncNow(AbortSignal.timeout(20_000)),
    run: (signal: AbortSignal) => sync.run(signal),
    /** Syncs like a new process of the worker. */
    async restart(changes: Partial<SyncOptions> = {}) {
      await sync[Symbol.asyncDispose]()
      sync = new SessionSync({...options, ...changes})
    },
    async [Symbol.asyncDispose]() {
      await sync[Symbol.asyncDispose]()
      await client[Symbol.asyncDispose]()
      agent[Symbol.dispose]()
      scratch[Symbol.dispose]()
    },
  }
}
