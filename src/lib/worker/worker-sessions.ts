import {join} from 'node:path'
import type {CommandOptions} from '../opencode/storage/session-commands.ts'
import {sessionFile, SessionSync, sessionSettings} from '../sessions/session-sync.ts'
import type {Codebases} from './registration/codebases.ts'
import type {Registration} from './registration/registration.ts'
import type {TaskRunner} from './run/task-runner.ts'
import type {WorkerOptions} from './worker-options.ts'

export type AgentStorage = {
  /** The worker's own environment, of which the agent's is made. */
  env: NodeJS.ProcessEnv
  home: string
  commands?: CommandOptions
}

type Parts = {
  workerDir: string
  secrets: readonly string[]
  registration: Registration
  codebases: Codebases
  runner: TaskRunner
}

/** The sync of the agent's sessions for all codebases of this worker; undefined where they are not known. */
export function sessionSync(options: WorkerOptions, parts: Parts): SessionSync | undefined {
  const {storage, config, client, clock, workerId, bus} = options
  const {workerDir, secrets, registration, codebases, runner} = parts
  if (!storage) return undefined
  return new SessionSync({
    ...sessionSettings(config, storage),
    ...{client, clock, workerId, bus, secrets},
    file: join(workerDir, sessionFile),
    homes: () => codebases.homes,
    isDelta: () => registration.has('sessions-delta'),
    register: (signal) => registration.register(signal),
    active: () => runner.active,
  })
}
