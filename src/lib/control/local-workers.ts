import {readdirSync} from 'node:fs'
import {join} from 'node:path'
import type {Environment} from '../config/file.ts'
import type {WorkerStatus} from './messages.ts'
import {workerStatus} from './socket-client.ts'
import {socketPath} from './socket-path.ts'

/** The workers of this user that run now, as they tell over their sockets. */
export async function localWorkers(env: Environment, stateDir: string, name?: string): Promise<WorkerStatus[]> {
  const names = name === undefined ? knownNames(stateDir) : [name]
  const answers = await Promise.all(
    names.map((known) => workerStatus(socketPath(env, stateDir, known)).catch(() => undefined)),
  )
  return answers.filter((answer) => answer !== undefined)
}

function knownNames(stateDir: string): string[] {
  try {
    return readdirSync(join(stateDir, 'workers'))
  } catch {
    return []
  }
}
