import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {existsSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import type {ConversationPolicy} from '../../src/lib/executor/ways/acp-way.ts'
import type {RunRequest} from '../../src/lib/executor/executor.ts'
import {identify, isAlive, type ProcessIdentity} from '../../src/lib/executor/processes/processes.ts'
import {processesOf} from './agent-run.ts'
import {waitFor} from './wait-for.ts'

const script = fileURLToPath(new URL('../fixtures/acp-worker.ts', import.meta.url))

export type KilledWorkerOptions = {
  home: string
  behaviour?: string
  /** A command instead of the scripted agent. */
  command?: string
  log?: string
  policy?: ConversationPolicy
  /** When to kill it: by the events of the run, and by what was sent to the agent. */
  when: (events: string, sent: string) => boolean
}

/** Starts a run with the scripted agent in a process of its own, and kills that process with -9. */
export async function killedWorker(
  request: RunRequest,
  {when, ...options}: KilledWorkerOptions,
): Promise<{agent: ProcessIdentity}> {
  const child = spawn(process.execPath, [script, JSON.stringify({request, options})], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const exited = once(child, 'exit')
  const read = (name: string) => {
    const path = join(request.runDir, name)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }
  await waitFor(() => when(read('stdout.ndjson'), read('sent.ndjson')), 'the moment to kill the worker')
  child.kill('SIGKILL')
  await exited
  const [pid] = processesOf(request.marker).toSorted((a, b) => a - b)
  const agent = identify(pid ?? 0)
  if (!isAlive(agent)) throw new Error('the agent died with its worker')
  return {agent}
}
