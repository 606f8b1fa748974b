import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {type Executor, noUsage, type RunningAgent, type RunRequest} from './executor.ts'
import {runFiles} from './spool/file-names.ts'
import {cannotWrite} from './run-files.ts'

/** Completes with the prompt as its result. */
export const echoExecutor: Executor = builtin(({prompt}) => prompt)

/** Does nothing and completes. */
export const noopExecutor: Executor = builtin(() => 'ok')

/** A run without a process, complete as soon as it starts. Its spool contains the result as OpenCode would write it. */
function builtin(answer: (request: RunRequest) => string): Executor {
  return {
    prepare: async (request) => ({start: () => run(request, answer(request)), discard: () => {}}),
  }
}

async function run(request: RunRequest, result: string): Promise<RunningAgent> {
  const line = JSON.stringify({type: 'text', timestamp: Date.now(), part: {type: 'text', text: result}})
  try {
    writeFileSync(join(request.runDir, runFiles.stdout), `${line}\n`, {mode: 0o600})
  } catch (error) {
    throw cannotWrite(request.runDir, error)
  }

  const usage = {...noUsage, duration_ms: 0}
  const outcome = {status: 'completed', result, error: null, sessionId: request.sessionId ?? null, usage} as const
  return {outcome: Promise.resolve(outcome), stop: () => {}}
}
