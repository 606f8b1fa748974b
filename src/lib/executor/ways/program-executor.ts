import {defaultProgram} from '../../protocol/agent-program.ts'
import {ExpectedError} from '../../core/errors.ts'
import type {Executor} from '../executor.ts'

export type Programs = {
  /** The executor of OpenCode in a folder. Chosen for each run, because settings may change. */
  openCode: (cwd: string) => Executor
  /** The executor of another agent. Undefined if it is not installed. */
  executorOf: (program: string) => Executor | undefined
  /** The names of all agents that are installed. */
  names: () => readonly string[]
}

/** Runs each task with the agent that it names. */
export const programExecutor = ({openCode, executorOf, names}: Programs): Executor => ({
  async prepare(request) {
    const {program = defaultProgram} = request
    if (program === defaultProgram) return await openCode(request.cwd).prepare(request)
    const executor = executorOf(program)
    if (!executor)
      throw new ExpectedError(
        `this worker has no agent ${JSON.stringify(program)}; it has ${[defaultProgram, ...names()].join(', ')}`,
        {code: 'AGENT_NOT_FOUND', exit: 'config', suggestions: ['Install it, or define it in the setting `agents`']},
      )
    return await executor.prepare(request)
  },
})
