import type {Executor, RunOutcome} from './executor.ts'

/** Executors that need no agent: they prove the way of a task from end to end. */
const instant = (result: (prompt: string) => string): Executor => ({
  start: async ({prompt}) => {
    const usage = {
      input: 0,
      output: 0,
      reasoning: 0,
      cache_read: 0,
      cache_write: 0,
      cost: 0,
      model: null,
      duration_ms: 0,
    }
    const outcome: RunOutcome = {status: 'completed', result: result(prompt), error: null, sessionId: null, usage}
    return {outcome: Promise.resolve(outcome), stop: () => {}}
  },
})

export const echoExecutor = instant((prompt) => prompt)
export const noopExecutor = instant(() => 'ok')
