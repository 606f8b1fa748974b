import {join} from 'node:path'
import {sessionFile, SessionSync, sessionSettings} from '../sessions/session-sync.ts'
import type {Codebases} from './registration/codebases.ts'
import type {Registration} from './registration/registration.ts'
import type {ActiveTasks} from './run/active-task.ts'
import type {WorkerOptions} from './worker-options.ts'

type SessionSyncParts = {
  workerDir: string
  secrets: readonly string[]
  registration: Registration
  codebases: Codebases
  runner: ActiveTasks
}

/** Creates the session sync for all codebases of this worker. Undefined if the agent's storage is unknown. */
export function createSessionSync(options: WorkerOptions, parts: SessionSyncParts): SessionSync | undefined {
  const {storage, config, client, clock, workerId, bus} = options
  const {workerDir, secrets, registration, codebases, runner} = parts
  if (!storage) return undefined
  return new SessionSync({
    ...sessionSettings(config, storage),
    ...{client, clock, workerId, bus, secrets},
    file: join(workerDir, sessionFile),
    directories: () => codebases.directories,
    isDelta: () => registration.has('sessions-delta'),
    register: (signal) => registration.register(signal),
    active: () => runner.active,
  })
}
